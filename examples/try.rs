use kelvin::data::*; use kelvin::model::*; use kelvin::optim::*; use kelvin::train::*; use kelvin::train::engine::*; use kelvin::torch::*;
fn main(){
 let a: Vec<usize> = std::env::args().skip(1).map(|v| v.parse().unwrap()).collect();
 let (width,batch,runs,stack,epochs,workers)=(a[0] as i64,a[1],a[2],a[3],a[4],a[5]);
 let spec=|seed| RunSpec{data:DataSpec{source:Source::Digits,operations:vec![]},sampling:Sampling::Split,train:1500,test:297,augment:false,model:ModelSpec::Resnet{width},init:None,optimizer:OptimizerSpec::Sgd(Sgd::default()),schedule:Schedule::Constant,lr:0.05,batch,order:Order::Shuffled,epochs:epochs as u32,seeds:Seeds::all(seed),precision:Precision::Float32,evaluate_every:a.get(6).copied().unwrap_or(1) as u32,train_metrics:TrainMetrics::Evaluate};
 let tasks:Vec<Task>=(0..runs).map(|s| Task{spec:spec(s as i64),choice:Choice{stack,threads:1}}).collect();
 let t=std::time::Instant::now();
 let mut last=vec![];
 run(tasks,Settings{workers,device:tch::Device::Cpu,keep_weights:false},&mut |e| { match e { Event::Epoch{run,record} => if run<2 {last.push((run,record))}, Event::Ended{run,outcome} => if let Some(e)=outcome.error {println!("{run} {:?} {e}",outcome.status)}, _=>{} } Ok(()) }).unwrap();
 let s=t.elapsed().as_secs_f64();
 for (r,x) in last.iter().rev().take(2) { println!("{r} {:?}",x); }
 println!("width {width} batch {batch} runs {runs} stack {stack}: {:.0} images/s ({s:.2}s)", (runs*epochs*(1500/batch*batch)) as f64/s);
}
