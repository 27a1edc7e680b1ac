//! What jobs in the background say in a notebook.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jupyter_protocol::{ExecuteRequest, JupyterMessage};

use super::notebook::stream;
use super::wire::Mouth;
use crate::visible::visible;

/// What jobs say.
///
/// A user at a notebook sees it at once, below the cell that started the job. A program that runs
/// one cell after another, such as nbclient, forbids questions (`allow_stdin`) and reads only what
/// belongs to the cell that it waits for: it gets the lines with that cell, or with the next one.
pub(super) struct News {
    mouth: Mouth,
    late: Mutex<Late>,
}

#[derive(Default)]
struct Late {
    /// The cell that a program waits for.
    running: Option<Arc<JupyterMessage>>,
    /// What was said while there was none.
    lines: Vec<String>,
}

impl News {
    /// What jobs say goes to this notebook.
    pub fn new(mouth: Mouth) -> Self {
        Self { mouth, late: Mutex::default() }
    }

    fn lock(&self) -> MutexGuard<'_, Late> {
        self.late.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A cell begins.
    pub fn begin(&self, request: &ExecuteRequest, cell: &Arc<JupyterMessage>) {
        let mut late = self.lock();
        late.lines.drain(..).for_each(|line| stream(&self.mouth, cell, true, &line));
        late.running = (!request.allow_stdin).then(|| Arc::clone(cell));
    }

    /// It is over.
    pub fn end(&self) {
        self.lock().running = None;
    }

    /// A job says something, whose cell was sent by somebody who sits there, or not.
    pub fn tell(&self, started_by: &Arc<JupyterMessage>, is_attended: bool, text: &str) {
        let text = visible(text);
        if is_attended {
            return stream(&self.mouth, started_by, true, &text);
        }
        let mut late = self.lock();
        match &late.running {
            Some(cell) => stream(&self.mouth, cell, true, &text),
            None => late.lines.push(text.into_owned()),
        }
    }
}
