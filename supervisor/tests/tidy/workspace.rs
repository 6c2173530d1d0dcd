//! Reads the workspace as Rust sees it: crates, the modules that their files declare, and the
//! paths that each module names outside of its tests.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use syn::{
    Attribute, Item, ItemMod, UseTree,
    visit::{self, Visit},
};

/// A path as it is written: `["crate", "pool", "Input"]`.
pub(crate) type Names = Vec<String>;

/// One crate of the workspace.
#[derive(Debug)]
pub(crate) struct Crate {
    /// The name of the package.
    pub(crate) name: String,
    /// Its folder, from the workspace's root.
    pub(crate) folder: String,
    /// The packages under `[dependencies]`, optional ones included.
    pub(crate) dependencies: Vec<String>,
    /// All modules that are compiled outside of tests, by their path from the crate's root.
    pub(crate) modules: BTreeMap<Names, Module>,
}

/// One module, in a file of its own or inline.
#[derive(Debug, Default)]
pub(crate) struct Module {
    /// The file, from the workspace's root.
    pub(crate) file: String,
    /// The names that `use` brings into scope, with the paths behind them.
    pub(crate) imports: BTreeMap<String, Names>,
    /// Every path that the module names, imports included.
    pub(crate) paths: Vec<Names>,
    /// Whether the module contains `unsafe`.
    pub(crate) has_unsafe: bool,
}

impl Crate {
    /// Reads the package in `folder`.
    pub(crate) fn read(root: &Path, folder: &str) -> Self {
        let manifest = fs::read_to_string(root.join(folder).join("Cargo.toml")).unwrap();
        let name = value(&manifest, "name").unwrap();
        let mut modules = BTreeMap::new();
        for file in ["lib.rs", "main.rs"] {
            let source = root.join(folder).join("src").join(file);
            if source.exists() {
                let mut reader = Reader { root, modules: &mut modules };
                reader.file(&source, &[], &source.with_file_name(""));
            }
        }
        Self { name, folder: folder.into(), dependencies: dependencies(&manifest), modules }
    }

    /// A crate of these modules, for planting violations.
    pub(crate) fn planted(folder: &str, modules: &[(&str, &str)]) -> Self {
        let modules = modules.iter().map(|(path, code)| {
            let names: Names =
                path.split("::").filter(|name| !name.is_empty()).map(Into::into).collect();
            let mut module = Module {
                file: format!("{folder}/src/{}.rs", names.join("/")),
                ..Module::default()
            };
            module.take(&syn::parse_file(code).unwrap().items);
            (names, module)
        });
        let dependencies = Vec::new();
        Self {
            name: folder.into(),
            folder: folder.into(),
            dependencies,
            modules: modules.collect(),
        }
    }

    /// What `module` means by `names`: a path that begins with `crate`, or with the name of another
    /// crate.
    pub(crate) fn absolute(&self, module: &[String], names: &[String]) -> Names {
        if let Some(path) = self.resolve(module, names) {
            return ["crate".to_owned()].into_iter().chain(path).collect();
        }
        let imports = self.modules.get(module).map(|module| &module.imports);
        let import = names.first().and_then(|first| imports?.get(first));
        match import.filter(|path| path.first() != names.first()) {
            Some(path) => path.iter().chain(&names[1..]).cloned().collect(),
            None => names.to_vec(),
        }
    }

    /// The path from the crate's root of what `module` means by `names`; `None` for a path into
    /// another crate. Imports and re-exports are followed to where the name is declared.
    pub(crate) fn resolve(&self, module: &[String], names: &[String]) -> Option<Names> {
        let mut at: Names = module.to_vec();
        let mut rest = names;
        match rest.first()?.as_str() {
            "crate" => at.clear(),
            "self" | "super" => {
                while let Some(("super" | "self", after)) =
                    rest.split_first().map(|(name, after)| (name.as_str(), after))
                {
                    if rest[0] == "super" {
                        at.pop();
                    }
                    rest = after;
                }
                return Some(self.follow(at, rest, 0));
            }
            first => {
                let mut child = at.clone();
                child.push(first.into());
                let is_local = self.modules.contains_key(&child);
                let import = self.modules.get(&at).and_then(|module| module.imports.get(first));
                match import {
                    Some(path) if !is_local && path.first().is_some_and(|name| name != first) => {
                        let through: Names = path.iter().chain(&rest[1..]).cloned().collect();
                        return self.resolve(module, &through);
                    }
                    _ if is_local => return Some(self.follow(at, rest, 0)),
                    _ => return None,
                }
            }
        }
        Some(self.follow(at, &rest[1..], 0))
    }

    fn follow(&self, mut at: Names, rest: &[String], depth: u32) -> Names {
        let Some((first, after)) = rest.split_first() else { return at };
        let mut child = at.clone();
        child.push(first.clone());
        if self.modules.contains_key(&child) {
            return self.follow(child, after, depth);
        }
        let import = self.modules.get(&at).and_then(|module| module.imports.get(first));
        if let Some(path) = import.filter(|_| depth < 8) {
            let module = at.clone();
            let through: Names = path.iter().chain(after).cloned().collect();
            let is_same = through.len() == 1 + after.len() && through.first() == Some(first);
            if let Some(found) = (!is_same).then(|| self.resolve(&module, &through)).flatten() {
                return found;
            }
        }
        at.push(first.clone());
        at
    }

    /// The longest known module in which `path` lies.
    pub(crate) fn module_of<'a>(&self, path: &'a [String]) -> &'a [String] {
        let mut at = path;
        while !self.modules.contains_key(at) && !at.is_empty() {
            at = &at[..at.len() - 1];
        }
        at
    }
}

impl Module {
    /// Takes in the items of a file or of an inline module.
    fn take(&mut self, items: &[Item]) {
        for item in items.iter().filter(|item| !is_test(attributes(item))) {
            self.visit_item(item);
        }
    }
}

impl<'ast> Visit<'ast> for Module {
    fn visit_item_mod(&mut self, item: &'ast ItemMod) {
        // A module with a body is read here; one in a file of its own is read by the reader.
        if let Some((_, items)) = item.content.as_ref().filter(|_| !is_test(&item.attrs)) {
            self.take(items);
        }
    }

    fn visit_item_use(&mut self, item: &'ast syn::ItemUse) {
        let mut found = Vec::new();
        flatten(&item.tree, &mut Vec::new(), &mut found);
        for (name, path) in found {
            self.paths.push(path.clone());
            self.imports.insert(name, path);
        }
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        if path.segments.len() > 1 {
            self.paths.push(path.segments.iter().map(|part| part.ident.to_string()).collect());
        }
        visit::visit_path(self, path);
    }

    fn visit_expr_unsafe(&mut self, block: &'ast syn::ExprUnsafe) {
        self.has_unsafe = true;
        visit::visit_expr_unsafe(self, block);
    }

    fn visit_item_impl(&mut self, item: &'ast syn::ItemImpl) {
        self.has_unsafe |= item.unsafety.is_some();
        if !is_test(&item.attrs) {
            visit::visit_item_impl(self, item);
        }
    }

    fn visit_item_fn(&mut self, item: &'ast syn::ItemFn) {
        if !is_test(&item.attrs) {
            visit::visit_item_fn(self, item);
        }
    }
}

/// Follows `mod` declarations from file to file.
struct Reader<'a> {
    root: &'a Path,
    modules: &'a mut BTreeMap<Names, Module>,
}

impl Reader<'_> {
    /// Reads a module's file; `folder` is where the files of its children lie.
    fn file(&mut self, source: &Path, names: &[String], folder: &Path) {
        let text = fs::read_to_string(source)
            .unwrap_or_else(|error| panic!("{}: {error}", source.display()));
        let parsed = syn::parse_file(&text).unwrap();
        let file = source.strip_prefix(self.root).unwrap().to_str().unwrap().to_owned();
        let module = self.modules.entry(names.to_vec()).or_default();
        module.file = file;
        module.take(&parsed.items);
        for item in &parsed.items {
            let Item::Mod(child) = item else { continue };
            if child.content.is_some() || is_test(&child.attrs) {
                continue;
            }
            let name = child.ident.to_string();
            let path = names.iter().cloned().chain([name.clone()]).collect::<Names>();
            let source = file_of(child, source, folder, &name);
            let is_folder = source.file_name().is_some_and(|file| file == "mod.rs");
            let below =
                if is_folder { source.with_file_name("") } else { source.with_extension("") };
            self.file(&source, &path, &below);
        }
    }
}

fn file_of(child: &ItemMod, parent: &Path, folder: &Path, name: &str) -> PathBuf {
    let given = child.attrs.iter().find(|attribute| attribute.path().is_ident("path"));
    if let Some(attribute) = given
        && let syn::Meta::NameValue(pair) = &attribute.meta
        && let syn::Expr::Lit(syn::ExprLit { lit: syn::Lit::Str(file), .. }) = &pair.value
    {
        return parent.with_file_name(file.value());
    }
    let flat = folder.join(format!("{name}.rs"));
    if flat.exists() { flat } else { folder.join(name).join("mod.rs") }
}

fn flatten(tree: &UseTree, prefix: &mut Names, found: &mut Vec<(String, Names)>) {
    let mut whole = |name: &str, last: &str| {
        let is_self = last == "self";
        let path: Names = if is_self {
            prefix.clone()
        } else {
            prefix.iter().cloned().chain([last.to_owned()]).collect()
        };
        let name =
            if name == "self" { prefix.last().cloned().unwrap_or_default() } else { name.into() };
        found.push((name, path));
    };
    match tree {
        UseTree::Name(name) => whole(&name.ident.to_string(), &name.ident.to_string()),
        UseTree::Rename(name) => whole(&name.rename.to_string(), &name.ident.to_string()),
        UseTree::Glob(_) => found.push(("*".into(), prefix.clone())),
        UseTree::Path(path) => {
            prefix.push(path.ident.to_string());
            flatten(&path.tree, prefix, found);
            prefix.pop();
        }
        UseTree::Group(group) => {
            group.items.iter().for_each(|tree| flatten(tree, prefix, found));
        }
    }
}

fn is_test(attributes: &[Attribute]) -> bool {
    attributes.iter().any(|attribute| {
        attribute.path().is_ident("cfg")
            && matches!(&attribute.meta, syn::Meta::List(list) if list.tokens.to_string() == "test")
    })
}

fn attributes(item: &Item) -> &[Attribute] {
    match item {
        Item::Const(item) => &item.attrs,
        Item::Enum(item) => &item.attrs,
        Item::Fn(item) => &item.attrs,
        Item::Impl(item) => &item.attrs,
        Item::Mod(item) => &item.attrs,
        Item::Static(item) => &item.attrs,
        Item::Struct(item) => &item.attrs,
        Item::Use(item) => &item.attrs,
        _ => &[],
    }
}

/// The first `key = "value"` of a manifest.
fn value(manifest: &str, key: &str) -> Option<String> {
    let line = manifest.lines().find(|line| line.split(['=', ' ']).next() == Some(key))?;
    Some(line.split('"').nth(1)?.to_owned())
}

/// The names under `[dependencies]`.
fn dependencies(manifest: &str) -> Vec<String> {
    let section = manifest.split("\n[").find(|section| section.starts_with("dependencies]"));
    let lines = section.unwrap_or("").lines().skip(1).filter(|line| !line.starts_with('#'));
    lines
        .filter_map(|line| line.split(['.', ' ', '=']).next())
        .filter(|name| !name.is_empty())
        .map(str::to_owned)
        .collect()
}
