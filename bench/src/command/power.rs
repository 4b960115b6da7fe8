//! `weaverec power`: what a study could find, before it is run.

mod pilot;

use std::path::PathBuf;

use anyhow::{Result, bail};
use clap::Args;

use super::number;
use crate::metric::Metric;
use crate::statistics::contrast::Components;
use crate::statistics::power::{CONFIDENCE, smallest_effect, upper_limit};
use pilot::{Costs, Pilot};

/// Print the smallest difference that a study of so many replicates and users would find, and the hours it takes.
///
/// It needs the spread of paired differences between replicates, between users and within: from a pilot's report, or as numbers. A pilot's
/// spread between replicates is known badly, so that its upper 80 % limit is taken; without `--pilot-replicates` the numbers are taken
/// for the truth.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  weaverec power --from results/small                     from the contrasts and costs of a report
  weaverec power --replicate-sd 0.01 --user-sd 0.10 --residual-sd 0.14
  weaverec power --replicate-sd 0.01 --user-sd 0.10 --residual-sd 0.14 --pilot-replicates 3 --pilot-users 300
  weaverec power --from results/small --replicates 5,10 --users 2000 --chance 0.9")]
pub struct Arguments {
    /// Folder of a report whose planned contrasts are the pilot.
    #[arg(long, conflicts_with_all = ["replicate_sd", "user_sd", "residual_sd", "pilot_replicates", "pilot_users"])]
    from: Option<PathBuf>,
    /// Only this scenario of the report.
    #[arg(long, requires = "from")]
    scenario: Option<String>,
    /// Standard deviation of the difference between replicates.
    #[arg(long, value_parser = number::not_negative, requires_all = ["user_sd", "residual_sd"])]
    replicate_sd: Option<f64>,
    /// Standard deviation of the difference between users.
    #[arg(long, value_parser = number::not_negative, requires = "replicate_sd")]
    user_sd: Option<f64>,
    /// Standard deviation of what is left: users within replicates.
    #[arg(long, value_parser = number::not_negative, requires = "replicate_sd")]
    residual_sd: Option<f64>,
    /// How many replicates these were seen on.
    #[arg(long, value_parser = number::at_least(2), requires_all = ["replicate_sd", "pilot_users"])]
    pilot_replicates: Option<usize>,
    /// How many users these were seen on.
    #[arg(long, value_parser = number::at_least(2), requires = "pilot_replicates")]
    pilot_users: Option<usize>,
    /// Numbers of replicates to print.
    #[arg(long, value_delimiter = ',', value_parser = number::at_least(2), default_value = "3,4,5,8,10")]
    replicates: Vec<usize>,
    /// Numbers of users to print.
    #[arg(long, value_delimiter = ',', value_parser = number::at_least(2), default_value = "300,1000,2000,5000")]
    users: Vec<usize>,
    /// How likely the difference is to be found.
    #[arg(long, value_parser = likely, default_value_t = 0.8)]
    chance: f64,
    /// Two-sided level of the test.
    #[arg(long, value_parser = number::level, default_value_t = crate::statistics::ALPHA)]
    alpha: f64,
    /// Minutes that one replicate's trainings take [default: as in the report].
    #[arg(long, value_parser = number::not_negative)]
    train_minutes: Option<f64>,
    /// Minutes that ranking 1,000 users takes with all rows of one replicate [default: as in the report].
    #[arg(long, value_parser = number::not_negative)]
    rank_minutes: Option<f64>,
}

fn likely(text: &str) -> Result<f64, String> {
    number::finite(text)
        .ok()
        .filter(|chance| (0.5..=0.999).contains(chance))
        .ok_or_else(|| "give a probability from 0.5 to 0.999, such as 0.8".to_owned())
}

/// Runs the command.
pub fn run(arguments: Arguments) -> Result<()> {
    for pilot in pilots(&arguments)? {
        super::print(describe(&pilot))?;
        super::print(table(&arguments, &pilot))?;
    }
    Ok(())
}

fn pilots(arguments: &Arguments) -> Result<Vec<Pilot>> {
    if let Some(folder) = &arguments.from {
        return pilot::of_report(folder, arguments.scenario.as_deref());
    }
    let (Some(replicate), Some(user), Some(residual)) =
        (arguments.replicate_sd, arguments.user_sd, arguments.residual_sd)
    else {
        bail!(
            "nothing says how far differences spread: name a pilot's report with --from, or give --replicate-sd, --user-sd and --residual-sd"
        );
    };
    Ok(vec![Pilot {
        name: "The numbers given".to_owned(),
        contrast: None,
        seen: Components {
            replicate,
            user,
            residual,
        },
        size: arguments.pilot_replicates.zip(arguments.pilot_users),
        costs: None,
    }])
}

/// The spread that counts: the pilot's, with the upper limit between replicates.
fn counted(pilot: &Pilot) -> Components {
    pilot
        .size
        .and_then(|(replicates, users)| upper_limit(pilot.seen, replicates, users, CONFIDENCE))
        .unwrap_or(pilot.seen)
}

fn describe(pilot: &Pilot) -> String {
    let Components {
        replicate,
        user,
        residual,
    } = pilot.seen;
    let of = pilot
        .contrast
        .as_ref()
        .map_or(String::new(), |contrast| format!(" ({contrast})"));
    let mut text = format!(
        "{}{of}: sd between replicates {replicate:.4}, users {user:.4}, within {residual:.4}",
        pilot.name
    );
    if let Some((replicates, users)) = pilot.size {
        text += &format!(
            "; seen on {replicates} replicates and {users} users, so that up to {:.4} between replicates is reckoned with (upper {:.0} % limit)",
            counted(pilot).replicate,
            100.0 * CONFIDENCE
        );
    }
    text + "."
}

fn table(arguments: &Arguments, pilot: &Pilot) -> String {
    let counted = counted(pilot);
    let hours = hours(arguments, pilot.costs);
    let timed = if hours.is_some() { ", and hours" } else { "" };
    let mut lines = vec![format!(
        "Smallest difference in {} found with probability {} at {}{timed}, by replicates (down) and users (across):",
        Metric::PRIMARY.label(),
        arguments.chance,
        arguments.alpha
    )];
    let cell = |text: String| format!("{text:>16}");
    let head: String = arguments
        .users
        .iter()
        .map(|users| cell(users.to_string()))
        .collect();
    lines.push(format!("{:>12}{head}", ""));
    for &replicates in &arguments.replicates {
        let mut line = format!("{replicates:>12}");
        for &users in &arguments.users {
            let effect = smallest_effect(counted, replicates, users, arguments.alpha, arguments.chance);
            let hours = hours.as_ref().map_or(String::new(), |hours| {
                format!("  {:.1} h", hours(replicates, users))
            });
            line += &cell(format!("{effect:.4}{hours}"));
        }
        lines.push(line);
    }
    lines.join("\n")
}

/// The hours of a study of one scenario; `None` where nothing is known of its costs.
fn hours(arguments: &Arguments, costs: Option<Costs>) -> Option<impl Fn(usize, usize) -> f64> {
    let seen = costs.unwrap_or(Costs {
        train_seconds: 0.0,
        rank_seconds_a_user: 0.0,
    });
    let train = arguments
        .train_minutes
        .map_or(seen.train_seconds, |minutes| 60.0 * minutes);
    let rank = arguments
        .rank_minutes
        .map_or(seen.rank_seconds_a_user, |minutes| 0.06 * minutes);
    let known = costs.is_some() || arguments.train_minutes.is_some() || arguments.rank_minutes.is_some();
    known.then_some(move |replicates: usize, users: usize| {
        replicates as f64 * (train + rank * users as f64) / 3600.0
    })
}
