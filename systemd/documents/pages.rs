//! What is written: `man1/*.1`, one page for the command and one a verb, and a completion a shell, under the names that shells look for.

use std::fs;
use std::io;
use std::path::Path;

use clap_complete::Shell;
use clap_complete::generate;

/// The completions: the shell, and the file's name in its directory.
pub const COMPLETIONS: [(Shell, &str); 3] = [
    (Shell::Bash, "completions/bash/daemonlet"),
    (Shell::Zsh, "completions/zsh/_daemonlet"),
    (Shell::Fish, "completions/fish/daemonlet.fish"),
];

/// Writes everything below `directory`.
///
/// # Errors
/// When a file can't be written.
pub fn write(directory: &Path) -> io::Result<()> {
    let pages = directory.join("man1");
    fs::create_dir_all(&pages)?;
    clap_mangen::generate_to(daemonlet::cli::command(), &pages)?;
    for (shell, path) in COMPLETIONS {
        let mut script = Vec::new();
        generate(shell, &mut daemonlet::cli::command(), "daemonlet", &mut script);
        let path = directory.join(path);
        fs::create_dir_all(path.parent().unwrap_or(directory))?;
        fs::write(path, script)?;
    }
    Ok(())
}
