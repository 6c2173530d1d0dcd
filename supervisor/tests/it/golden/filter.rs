//! Replaces what varies from one run to the next by a placeholder that names its type.

use std::sync::LazyLock;

use regex::Regex;

/// In this order.
const RULES: &[(&str, &str)] = &[
    // JSON, in which an integer must not become a float unnoticed.
    (r#""(pid|(?:\w+_)?ms|\w+_s|\w+_bytes)":-?\d+\.\d+(?:e-?\d+)?"#, r#""$1":<float>"#),
    (r#""(pid|(?:\w+_)?ms|\w+_s|\w+_bytes)":-?\d+"#, r#""$1":<integer>"#),
    (r#""peak_exact":(?:true|false)"#, r#""peak_exact":<boolean>"#),
    (r#""history":\[[^\]]*\]"#, r#""history":[<samples>]"#),
    (r#""below_ns":(\d+),"count":\d+"#, r#""below_ns":$1,"count":<integer>"#),
    (r#""id":"[^"]*""#, r#""id":"<run>""#),
    (r#""digest":"[^"]*""#, r#""digest":"<digest>""#),
    (r#""version":"[^"]*""#, r#""version":"<version>""#),
    // Prometheus, whose numbers are all floats.
    (r"(?m)^(supervisor_\w+(?:\{[^}]*\})?) -?\d+(?:\.\d+)?(?:e-?\d+)?$", "$1 <number>"),
    (r#"\{version="[^"]*"\}"#, r#"{version="<version>"}"#),
    // JUnit and the joblog.
    (r#" time="\d+\.\d+""#, r#" time="<seconds>""#),
    (r"(?m)^(\d+\t:\t) *\d+\.\d{3}\t *\d+\.\d{3}\t(.*)\t\d+$", "$1<start>\t<seconds>\t$2\t<KiB>"),
    // Text for people.
    (r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?Z", "<time>"),
    (r"\bPID \d+", "PID <pid>"),
    (r"thread 'main' \(\d+\)", "thread 'main' (<pid>)"),
    (r"\b\d+(?:\.\d+)? m?s\b|\b\d+m\d\ds\b|\b\d+h\d\dm\b", "<duration>"),
    (r"(?:< )?\b\d+(?:\.\d+)? [KMGT]iB\b", "<size>"),
    (r"\b\d+/s\b", "<rate>/s"),
    (r"(?m)^run [a-z0-9]{4} ", "run <run> "),
    (r"\b[a-z0-9]{4} \((it|other)\)", "<run> ($1)"),
    (r"127\.0\.0\.1:\d+", "127.0.0.1:<port>"),
    (r"\.rs:\d+:\d+", ".rs:<line>"),
    (r"[\w./-]*/examples/", "<fixtures>/"),
    (r"[\w./-]*/supervisor-test-\d+-\d+\b", "<scratch>"),
    // Columns are as wide as what stands in them.
    (r"(\S) {2,}", "$1  "),
];

/// The text with placeholders; its structure, names and order stay.
pub(super) fn stable(text: &str) -> String {
    static REGEXES: LazyLock<Vec<(Regex, &str)>> = LazyLock::new(|| {
        RULES.iter().map(|(pattern, with)| (Regex::new(pattern).unwrap(), *with)).collect()
    });
    let text = without_pids(text);
    REGEXES.iter().fold(text, |text, (regex, with)| regex.replace_all(&text, *with).into_owned())
}

/// Replaces the numbers below the heading `PID` of a table.
fn without_pids(text: &str) -> String {
    let cells = |line: &str| -> Vec<String> {
        line.split("  ")
            .map(|cell| cell.trim().to_owned())
            .filter(|cell| !cell.is_empty())
            .collect()
    };
    let (mut column, mut lines) = (None, Vec::new());
    for line in text.split('\n') {
        let mut cells = cells(line);
        if let Some(at) = cells.iter().position(|cell| cell == "PID") {
            column = Some(at);
            lines.push(cells.join("  "));
            continue;
        }
        let cell = column.and_then(|at| cells.get_mut(at));
        match cell.filter(|cell| cell.parse::<u32>().is_ok()) {
            Some(cell) => {
                *cell = "<pid>".into();
                lines.push(cells.join("  "));
            }
            None => {
                column = None;
                lines.push(line.into());
            }
        }
    }
    lines.join("\n")
}

/// JSON records, each stable and with a line for each field.
pub(super) fn pretty<'a>(records: impl IntoIterator<Item = &'a str>) -> String {
    let mut text = String::new();
    for record in records {
        indent(&stable(record), &mut text);
        text.push('\n');
    }
    text
}

fn indent(json: &str, out: &mut String) {
    let (mut depth, mut is_text, mut is_escaped) = (0, false, false);
    let mut characters = json.chars().peekable();
    while let Some(c) = characters.next() {
        if is_text {
            is_text = is_escaped || c != '"';
            is_escaped = !is_escaped && c == '\\';
            out.push(c);
            continue;
        }
        let closes = matches!(characters.peek(), Some('}' | ']'));
        match c {
            '{' | '[' if !closes => depth += 1,
            '}' | ']' if !out.ends_with(['{', '[']) => depth -= 1,
            _ => {}
        }
        match c {
            '{' | '[' if !closes => {
                out.push(c);
                new_line(depth, out);
            }
            '}' | ']' if !out.ends_with(['{', '[']) => {
                new_line(depth, out);
                out.push(c);
            }
            ',' => {
                out.push(c);
                new_line(depth, out);
            }
            ':' => out.push_str(": "),
            '"' => {
                is_text = true;
                out.push(c);
            }
            _ => out.push(c),
        }
    }
}

fn new_line(depth: usize, out: &mut String) {
    out.push('\n');
    out.push_str(&"  ".repeat(depth));
}

#[test]
fn placeholders_keep_names_types_and_order() {
    let record = r#"{"pid":17,"ms":0.5,"why":"2 ms, a: \"{\"","list":[],"buckets":[{"below_ns":1024,"count":3}]}"#;
    let expected = "{\n  \"pid\": <integer>,\n  \"ms\": <float>,\n  \"why\": \"<duration>, a: \
                    \\\"{\\\"\",\n  \"list\": [],\n  \"buckets\": [\n    {\n      \"below_ns\": 1024,\n      \
                    \"count\": <integer>\n    }\n  ]\n}\n";
    assert_eq!(pretty([record]), expected);
    let table = "worker    PID  code\nw1.1    13635     3\n1  2  3 jobs\n\n9  9  9";
    assert_eq!(stable(table), "worker  PID  code\nw1.1  <pid>  3\n1  <pid>  3 jobs\n\n9  9  9");
}
