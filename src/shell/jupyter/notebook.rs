//! Where what a cell prints, says and draws goes.

use std::cell::RefCell;
use std::sync::Arc;

use jupyter_protocol::{
    ClearOutput, DisplayData, JupyterMessage, JupyterMessageContent, Media, MediaType, Transient,
    UpdateDisplayData,
};

use super::replies::media;
use super::wire::{Mouth, Outgoing};
use crate::script::{Output, Shown};

/// Where a cell's output goes.
pub(super) struct Notebook {
    mouth: Mouth,
    /// The request of the cell that runs.
    parent: RefCell<Arc<JupyterMessage>>,
    /// The id of the line of progress that is shown, where one is.
    line: RefCell<Option<String>>,
}

impl Notebook {
    /// One in which no cell runs yet; `parent` is the message that what is said belongs to.
    pub fn new(mouth: Mouth, parent: Arc<JupyterMessage>) -> Self {
        Self { mouth, parent: RefCell::new(parent), line: RefCell::default() }
    }

    /// A cell begins: what is said from now on belongs to it.
    pub fn begin(&self, cell: &Arc<JupyterMessage>) {
        self.parent.replace(Arc::clone(cell));
    }

    fn publish(&self, content: impl Into<JupyterMessageContent>) {
        let message = JupyterMessage::new(content, Some(&self.parent.borrow()));
        let _ = self.mouth.blocking_send(Outgoing::Publish(Box::new(message)));
    }
}

impl Output for Notebook {
    fn print(&self, text: &str) {
        stream(&self.mouth, &self.parent.borrow(), false, text);
    }

    fn tell(&self, text: &str) {
        stream(&self.mouth, &self.parent.borrow(), true, text);
    }

    fn show(&self, shown: Shown) {
        self.publish(DisplayData::new(media(shown)));
    }

    fn clear(&self, wait: bool) {
        self.publish(ClearOutput { wait });
    }

    fn progress(&self, text: &str, last: bool) {
        let data = Media::new(vec![MediaType::Plain(text.to_owned())]);
        let shown = self.line.borrow().clone();
        match &shown {
            Some(id) => self.publish(UpdateDisplayData::new(data, id)),
            None => {
                let id = uuid::Uuid::new_v4().to_string();
                let transient = Some(Transient { display_id: Some(id.clone()) });
                self.publish(DisplayData { transient, ..DisplayData::new(data) });
                self.line.replace(Some(id));
            }
        }
        if last {
            self.line.replace(None);
        }
    }
}

/// Sends a line of a standard stream.
pub(super) fn stream(mouth: &Mouth, parent: &Arc<JupyterMessage>, error: bool, text: &str) {
    let message = Outgoing::Stream { parent: Arc::clone(parent), error, text: format!("{text}\n") };
    // Where the notebook is closed nobody listens.
    let _ = mouth.blocking_send(message);
}
