//! A quarter of a cosine (section 2.3 of the paper): λ cos(π/2 · t/t_f), with t the updates done
//! and t_f all of them.

use std::f64::consts::FRAC_PI_2;

use super::ScheduleEntry;

pub(super) const ENTRY: ScheduleEntry = ScheduleEntry {
    name: "cosine",
    doc: "λ cos(π/2 · t/t_f)",
    factor: |at| (FRAC_PI_2 * at.done as f64 / at.total.max(1) as f64).cos(),
};

#[cfg(test)]
mod tests {
    use super::super::Schedule;

    #[test]
    fn cosine_falls_from_one_to_zero() {
        let factor = |done| Schedule::COSINE.factor(done, 90);
        assert_eq!(factor(0), 1.0);
        assert!((factor(30) - 0.75f64.sqrt()).abs() < 1e-15);
        assert!((factor(60) - 0.5).abs() < 1e-15);
        assert!(factor(89) > 0.0);
    }
}
