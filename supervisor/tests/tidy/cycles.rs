//! Import cycles: between the folders of a crate, and between single modules.

use std::collections::{BTreeMap, BTreeSet};

use crate::workspace::{Crate, Names};

type Graph = BTreeMap<Names, BTreeSet<Names>>;

/// The cycles between a crate's top-level folders and files.
pub(crate) fn between_folders(it: &Crate) -> Vec<String> {
    describe(it, &graph(it, |module| module[..module.len().min(1)].to_vec()))
}

/// The cycles between a crate's modules. What a module and the modules inside of it import from
/// one another does not count.
pub(crate) fn between_modules(it: &Crate) -> Vec<String> {
    describe(it, &graph(it, <[String]>::to_vec))
}

fn graph(it: &Crate, node: impl Fn(&[String]) -> Names) -> Graph {
    let mut graph = Graph::new();
    for (names, module) in &it.modules {
        let from = node(names);
        for path in &module.paths {
            let Some(path) = it.resolve(names, path) else { continue };
            let to = node(it.module_of(&path));
            let is_inside = from.starts_with(&to) || to.starts_with(&from);
            if !is_inside {
                graph.entry(from.clone()).or_default().insert(to);
            }
        }
    }
    graph
}

/// Each pair of nodes that reach one another, once.
fn describe(it: &Crate, graph: &Graph) -> Vec<String> {
    let mut found = BTreeSet::new();
    for from in graph.keys() {
        if let Some(mut cycle) = path_back(graph, from) {
            let first = cycle.iter().enumerate().min_by_key(|(_, node)| (*node).clone());
            let start = first.map_or(0, |(at, _)| at);
            cycle.rotate_left(start);
            let names: Vec<_> = cycle.iter().map(|node| node.join("::")).collect();
            found.insert(format!("{}: {} -> {}", it.folder, names.join(" -> "), names[0]));
        }
    }
    found.into_iter().collect()
}

/// The shortest way from a node back to itself.
fn path_back(graph: &Graph, start: &Names) -> Option<Vec<Names>> {
    let mut ways = vec![vec![start.clone()]];
    let mut seen = BTreeSet::new();
    while !ways.is_empty() {
        let mut longer = Vec::new();
        for way in ways {
            for next in graph.get(way.last()?).into_iter().flatten() {
                if next == start {
                    return Some(way);
                }
                if seen.insert(next.clone()) {
                    longer.push(way.iter().cloned().chain([next.clone()]).collect());
                }
            }
        }
        ways = longer;
    }
    None
}

#[test]
fn a_cycle_is_found() {
    let planted = Crate::planted(
        "edge",
        &[
            ("", "pub use sink::Outlet;"),
            ("control", "use crate::web::Page;"),
            ("web", "fn f() { crate::Outlet::new() }"),
            ("sink", "mod deep;"),
            ("sink::deep", "use crate::control::Ask;"),
        ],
    );
    assert_eq!(between_folders(&planted), ["edge: control -> web -> sink -> control"]);
    assert_eq!(
        between_modules(&planted),
        Vec::<String>::new(),
        "the way from sink into its own module is not an import"
    );
    let planted = Crate::planted(
        "edge",
        &[
            ("", ""),
            ("pool", ""),
            ("pool::slot", "use super::work::Work;"),
            ("pool::work", "use crate::pool::slot::Slot;"),
        ],
    );
    assert_eq!(between_folders(&planted), Vec::<String>::new());
    assert_eq!(between_modules(&planted), ["edge: pool::slot -> pool::work -> pool::slot"]);
}
