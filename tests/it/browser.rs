//! A real Chromium without a window, driven over loopback by chromedriver (W3C WebDriver).

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::{Value, json};

use crate::support::{missing, say, wait_until};

/// A browser with one page, until it is dropped.
pub struct Browser {
    driver: Child,
    port: u16,
    session: String,
    /// Its settings, which are its own.
    _profile: tempfile::TempDir,
}

impl Browser {
    /// Starts one, or says why there is none.
    pub fn start() -> Option<Self> {
        let missing = missing(&["chromium", "chromedriver"]);
        if !missing.is_empty() {
            say(&format!(
                "skipped: a test in a browser, {} not found; as root: apt-get install --no-install-recommends chromium \
                 chromium-driver",
                missing.join(", ")
            ));
            return None;
        }
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let driver = Command::new("chromedriver")
            .arg(format!("--port={port}"))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let profile = tempfile::tempdir().unwrap();
        let mut browser = Self { driver, port, session: String::new(), _profile: profile };
        wait_until("chromedriver", || TcpStream::connect(("127.0.0.1", port)).is_ok());
        let folder = format!("--user-data-dir={}", browser._profile.path().display());
        let arguments = [
            "--headless=new",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-quic",
            "--no-first-run",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            &folder,
        ];
        let wanted = json!({
            "goog:chromeOptions": { "args": arguments },
            "goog:loggingPrefs": { "browser": "ALL", "performance": "ALL" },
        });
        let opened = browser.call("POST", "/session", &json!({"capabilities": {"alwaysMatch": wanted}}));
        browser.session = opened["sessionId"].as_str().unwrap().to_owned();
        // What the browser's own first page asks for is not the tests' concern.
        browser.post("url", &json!({"url": "about:blank"}));
        browser.requests();
        browser.console();
        Some(browser)
    }

    /// Opens a file.
    pub fn open(&self, path: &Path) {
        self.post("url", &json!({"url": format!("file://{}", path.display())}));
    }

    /// The value of a script's `return`, with `arguments[0]`.
    pub fn value(&self, script: &str, argument: impl Into<Value>) -> Value {
        self.post("execute/sync", &json!({"script": script, "args": [argument.into()]}))
    }

    /// Sets the size of the page in CSS pixels.
    pub fn resize(&self, width: u32, height: u32) {
        let mobile = width < 600;
        let size = json!({"width": width, "height": height, "deviceScaleFactor": 1, "mobile": mobile});
        self.devtools("Emulation.setDeviceMetricsOverride", size);
    }

    /// Asks for the page's dark side, or its light one.
    pub fn dark(&self, dark: bool) {
        let value = if dark { "dark" } else { "light" };
        let features = json!({"features": [{"name": "prefers-color-scheme", "value": value}]});
        self.devtools("Emulation.setEmulatedMedia", features);
    }

    /// Moves the mouse to a place of the window.
    pub fn point(&self, (x, y): (f64, f64)) {
        self.act("mouse", json!([{"type": "pointerMove", "duration": 0, "x": x.round(), "y": y.round()}]));
    }

    /// Taps a place of the window with a finger.
    pub fn tap(&self, (x, y): (f64, f64)) {
        let moved = json!({"type": "pointerMove", "duration": 0, "x": x.round(), "y": y.round()});
        let button = |kind: &str| json!({"type": kind, "button": 0});
        self.act("touch", json!([moved, button("pointerDown"), button("pointerUp")]));
    }

    /// Presses a key, named by its WebDriver character.
    pub fn press(&self, key: char) {
        let keys = json!([{"type": "keyDown", "value": key}, {"type": "keyUp", "value": key}]);
        self.post("actions", &json!({"actions": [{"type": "key", "id": "keys", "actions": keys}]}));
    }

    /// Everything the page wrote or was warned of on the console since the last call.
    pub fn console(&self) -> Vec<String> {
        self.log("browser").iter().map(|entry| entry["message"].to_string()).collect()
    }

    /// Every address that the page asked for since the last call.
    pub fn requests(&self) -> Vec<String> {
        let events = self.log("performance");
        let request = |entry: &Value| -> Option<String> {
            let event: Value = serde_json::from_str(entry["message"].as_str()?).unwrap();
            let event = &event["message"];
            (event["method"] == "Network.requestWillBeSent")
                .then(|| event["params"]["request"]["url"].as_str().unwrap().to_owned())
        };
        events.iter().filter_map(request).collect()
    }

    fn act(&self, pointer: &str, actions: Value) {
        let source = json!({"type": "pointer", "id": pointer, "parameters": {"pointerType": pointer}, "actions": actions});
        self.post("actions", &json!({"actions": [source]}));
    }

    fn log(&self, kind: &str) -> Vec<Value> {
        self.post("se/log", &json!({"type": kind})).as_array().unwrap().clone()
    }

    fn devtools(&self, command: &str, parameters: Value) {
        self.post("goog/cdp/execute", &json!({"cmd": command, "params": parameters}));
    }

    fn post(&self, command: &str, body: &Value) -> Value {
        self.call("POST", &format!("/session/{}/{command}", self.session), body)
    }

    /// One request to chromedriver; an error of its fails the test.
    fn call(&self, method: &str, path: &str, body: &Value) -> Value {
        let answer = self.ask(method, path, body).unwrap();
        let value = &answer["value"];
        assert!(value.get("error").is_none(), "{path} {body}: {value}");
        value.clone()
    }

    fn ask(&self, method: &str, path: &str, body: &Value) -> std::io::Result<Value> {
        let body = body.to_string();
        let mut stream = BufReader::new(TcpStream::connect(("127.0.0.1", self.port))?);
        stream.get_ref().set_read_timeout(Some(Duration::from_secs(120)))?;
        write!(
            stream.get_mut(),
            "{method} {path} HTTP/1.1\r\nHost: 127.0.0.1:{}\r\nContent-Type: application/json\r\n\
             Content-Length: {}\r\n\r\n{body}",
            self.port,
            body.len()
        )?;
        let mut length = 0;
        let mut line = String::new();
        // The head ends with an empty line.
        while stream.read_line(&mut line)? > 2 {
            let head = line.to_lowercase();
            if let Some(value) = head.strip_prefix("content-length:") {
                length = value.trim().parse().map_err(std::io::Error::other)?;
            }
            line.clear();
        }
        let mut answer = vec![0; length];
        stream.read_exact(&mut answer)?;
        Ok(serde_json::from_slice(&answer)?)
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // The end of the session ends the browser; chromedriver alone would leave it running. A
        // test that has failed already must not panic again.
        if !self.session.is_empty() {
            let _ = self.ask("DELETE", &format!("/session/{}", self.session), &json!({}));
        }
        // SAFETY: the process is our child and was not waited for yet.
        unsafe { libc::kill(self.driver.id() as i32, libc::SIGTERM) };
        self.driver.wait().unwrap();
    }
}
