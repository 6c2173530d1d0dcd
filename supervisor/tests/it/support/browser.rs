//! A headless browser, controlled over two pipes: opens pages, evaluates scripts, collects errors and
//! takes screenshots.

use std::{
    fs::{self, File},
    io::{BufRead, BufReader, Write},
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use base64::{Engine, prelude::BASE64_STANDARD};
use nix::{
    sys::signal::{Signal, killpg},
    sys::stat::Mode,
    unistd::{Pid, mkfifo},
};
use serde_json::{Value, json};

use super::{files::Scratch, until};

const NAMES: [&str; 3] = ["chromium", "chromium-browser", "google-chrome"];
/// Opens the pipes of the browser; each open blocks until the test opens the other end.
const LAUNCH: &str = "exec \"$@\" 3<commands 4>replies";

/// A running browser, killed when dropped.
pub(crate) struct Browser {
    child: Child,
    commands: File,
    replies: BufReader<File>,
    session: Option<String>,
    last: u64,
    /// Errors, exceptions and dialogs of the page.
    pub(crate) faults: Vec<String>,
    _scratch: Scratch,
}

impl Browser {
    /// Starts a browser; `None` if none is installed.
    pub(crate) fn start() -> Option<Self> {
        let program = NAMES.into_iter().find_map(found)?;
        let scratch = Scratch::new();
        let pipes = ["commands", "replies"].map(|name| scratch.path().join(name));
        pipes.iter().for_each(|pipe| mkfifo(pipe, Mode::S_IRWXU).unwrap());
        let profile = format!("--user-data-dir={}", scratch.path().display());
        let child = Command::new("sh")
            .args(["-c", LAUNCH, "sh"])
            .arg(program)
            .args(["--headless=new", "--no-sandbox", "--disable-gpu", "--hide-scrollbars"])
            .args(["--disable-dev-shm-usage", "--no-first-run", "--remote-debugging-pipe"])
            .arg(profile)
            .current_dir(scratch.path())
            .env("HOME", scratch.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .process_group(0)
            .spawn()
            .unwrap();
        let commands = File::options().write(true).open(&pipes[0]).unwrap();
        let replies = BufReader::new(File::open(&pipes[1]).unwrap());
        let (session, last, faults) = (None, 0, Vec::new());
        let mut browser =
            Self { child, commands, replies, session, last, faults, _scratch: scratch };
        let target = browser.call("Target.createTarget", json!({ "url": "about:blank" }));
        let attach = json!({ "targetId": target["targetId"], "flatten": true });
        let session = browser.call("Target.attachToTarget", attach);
        browser.session = Some(session["sessionId"].as_str().unwrap().into());
        for domain in ["Page", "Runtime", "Log"] {
            browser.call(&format!("{domain}.enable"), json!({}));
        }
        Some(browser)
    }

    /// Navigates to this address.
    pub(crate) fn open(&mut self, address: &str) {
        self.call("Page.navigate", json!({ "url": address }));
    }

    /// Evaluates a script in the page.
    pub(crate) fn value(&mut self, script: &str) -> Value {
        let evaluate = json!({ "expression": script, "returnByValue": true });
        let printed = self.call("Runtime.evaluate", evaluate);
        assert!(printed["exceptionDetails"].is_null(), "{script}: {printed}");
        printed["result"]["value"].clone()
    }

    /// Waits until a script evaluates to true.
    pub(crate) fn until(&mut self, script: &str) {
        until(script, || self.value(script) == true);
    }

    /// Sets the size of the window and the colour scheme.
    pub(crate) fn look(&mut self, width: u32, height: u32, scheme: &str) {
        let size =
            json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": false });
        self.call("Emulation.setDeviceMetricsOverride", size);
        let scheme = json!({ "name": "prefers-color-scheme", "value": scheme });
        self.call("Emulation.setEmulatedMedia", json!({ "features": [scheme] }));
    }

    /// Saves a screenshot if `SUPERVISOR_SHOTS` names a directory.
    pub(crate) fn shoot(&mut self, name: &str) {
        let Some(directory) = std::env::var_os("SUPERVISOR_SHOTS") else { return };
        // After two frames everything is drawn.
        let frames = "new Promise(done => requestAnimationFrame(() => requestAnimationFrame(() => \
                      setTimeout(done, 400))))";
        let wait = json!({ "expression": frames, "awaitPromise": true });
        self.call("Runtime.evaluate", wait);
        let shot = self.call("Page.captureScreenshot", json!({ "format": "png" }));
        let bytes = BASE64_STANDARD.decode(shot["data"].as_str().unwrap()).unwrap();
        fs::write(PathBuf::from(directory).join(format!("{name}.png")), bytes).unwrap();
    }

    fn call(&mut self, method: &str, params: impl Into<Value>) -> Value {
        self.last += 1;
        let mut message = json!({ "id": self.last, "method": method, "params": params.into() });
        if let Some(session) = &self.session {
            message["sessionId"] = session.as_str().into();
        }
        self.commands.write_all(format!("{message}\0").as_bytes()).unwrap();
        loop {
            let mut reply = Vec::new();
            self.replies.read_until(0, &mut reply).unwrap();
            assert_eq!(reply.pop(), Some(0), "the browser has gone");
            let reply: Value = serde_json::from_slice(&reply).unwrap();
            if reply["id"] == self.last {
                assert!(reply["error"].is_null(), "{method}: {reply}");
                return reply["result"].clone();
            }
            let name = reply["method"].as_str().unwrap_or("");
            let is_error = reply["params"]["entry"]["level"] == "error";
            if ["Runtime.exceptionThrown", "Page.javascriptDialogOpening"].contains(&name)
                || name == "Log.entryAdded" && is_error
            {
                self.faults.push(reply["params"].to_string());
            }
        }
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        let _ = killpg(Pid::from_raw(self.child.id().cast_signed()), Signal::SIGKILL);
        let _ = self.child.wait();
    }
}

fn found(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|place| place.join(Path::new(name))).find(|p| p.is_file())
}
