//! The command line of the benchmark. Called by `main`. Must not measure.

use crate::config::Config;
use std::path::PathBuf;

/// Usage, for messages.
const USAGE: &str = "guestly-bench [--smoke] [--rounds N] [--only BENCHMARK]… [--peers FOLDER] [--write FOLDER] \
                     [--compare BIN_A BIN_B]";

/// The parsed command line.
#[derive(Debug, Default)]
pub struct Args {
    /// Sizes and rounds.
    pub config: Config,
    /// Parts of benchmark names; empty selects all.
    only: Vec<String>,
    /// The folder that results are written to.
    pub write: Option<PathBuf>,
    /// The `bin` folders of two PostgreSQL installations, each with a build of the extension.
    pub compare: Option<[PathBuf; 2]>,
}

impl Args {
    /// True if the benchmark is selected.
    pub fn selects(&self, name: &str) -> bool {
        self.only.is_empty() || self.only.iter().any(|part| name.contains(part.as_str()))
    }
}

/// Parses the arguments after the program's name.
///
/// # Errors
/// A sentence for the user.
pub fn parse(mut arguments: impl Iterator<Item = String>, benchmarks: &[&str]) -> Result<Args, String> {
    let mut args = Args::default();
    while let Some(option) = arguments.next() {
        let mut value = || arguments.next().ok_or(format!("{option} needs a value; usage: {USAGE}"));
        match option.as_str() {
            "--smoke" => args.config.smoke = true,
            "--only" => {
                let part = value()?;
                if !benchmarks.iter().any(|name| name.contains(part.as_str())) {
                    return Err(format!("no benchmark {part:?}; there are: {}", benchmarks.join(", ")));
                }
                args.only.push(part);
            }
            "--rounds" => args.config.rounds = Some(rounds(&value()?)?),
            "--peers" => args.config.peers = Some(value()?.into()),
            "--write" => args.write = Some(value()?.into()),
            "--compare" => args.compare = Some([value()?.into(), value()?.into()]),
            _ => return Err(format!("unknown option {option}; usage: {USAGE}")),
        }
    }
    if args.compare.is_some() && (args.write.is_some() || args.config.peers.is_some()) {
        return Err("--compare goes with --smoke, --rounds and --only only".to_owned());
    }
    Ok(args)
}

fn rounds(text: &str) -> Result<usize, String> {
    text.parse().ok().filter(|rounds| *rounds > 0).ok_or(format!("--rounds needs a number above 0, not {text:?}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(line: &str) -> Result<Args, String> {
        parse(line.split_whitespace().map(str::to_owned), &["drain", "scale"])
    }

    #[test]
    fn only_selects_by_part_of_a_name() {
        let args = parsed("--only dra").unwrap();
        assert_eq!((args.selects("drain"), args.selects("scale")), (true, false));
    }

    #[test]
    fn unknown_benchmark_is_refused() {
        assert!(parsed("--only sclae").is_err());
    }

    #[test]
    fn zero_rounds_are_refused() {
        assert!(parsed("--rounds 0").is_err());
    }

    #[test]
    fn compare_of_one_folder_is_refused() {
        assert!(parsed("--compare /a").is_err());
    }

    #[test]
    fn compare_takes_two_folders() {
        assert_eq!(parsed("--compare /a /b").unwrap().compare, Some(["/a".into(), "/b".into()]));
    }

    #[test]
    fn compare_writes_no_results() {
        assert!(parsed("--compare /a /b --write /c").is_err());
    }
}
