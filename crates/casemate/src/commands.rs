//! One file for each group of commands, and the table that leads to them. It never prints by itself.

mod access;
mod dev;
mod doctor;
mod functions;
mod identity;
mod invoke;
mod limits;
mod login;
mod new;
mod offline;
mod oidc;
mod policy;
mod records;
mod recover;
mod shield;
mod ship;
mod up;

pub(crate) use ship::ship;

use clap::CommandFactory;

use crate::{
    cli::{Cli, Command, Global},
    client::Client,
    demo,
    exit::Failure,
    output::Output,
    session::Session,
};

/// What a command is given beside its own arguments.
pub(crate) struct Context {
    /// Where it writes.
    pub(crate) out: Output,
    /// The options that every command takes.
    pub(crate) global: Global,
}

impl Context {
    /// A client of the node that flags, environment or the saved login name.
    pub(crate) fn client(&self) -> Result<Client, Failure> {
        Client::new(Session::open(&self.global)?)
    }
}

/// Does what the command line says.
///
/// # Errors
/// With the exit code, what happened, and what to do next.
pub(crate) async fn run(cli: Cli) -> Result<(), Failure> {
    let context = Context { out: Output::new(cli.global.output), global: cli.global };
    let context = &context;
    match cli.command {
        Command::Up(args) => up::up(context, args).await,
        Command::Demo => demo::demo(context).await,
        Command::Login(args) => login::login(context, &args).await,
        Command::Logout => login::logout(context).await,
        Command::Whoami => login::whoami(context).await,
        Command::New(args) => new::new(context, &args),
        Command::Build(args) => ship::build(context, &args).await,
        Command::Test(args) => ship::test(context, &args).await,
        Command::Deploy(args) => ship::deploy(context, &args).await,
        Command::Dev(args) => dev::dev(context, &args).await,
        Command::Invoke(args) => invoke::invoke(context, args).await,
        Command::Logs(args) => functions::logs(context, &args).await,
        Command::List => functions::list(context).await,
        Command::Inspect(args) => functions::inspect(context, &args).await,
        Command::Rollback(args) => functions::rollback(context, &args).await,
        Command::Remove(args) => functions::remove(context, &args).await,
        Command::Token(args) => access::token(context, args).await,
        Command::Session(args) => access::sessions(context, args).await,
        Command::Tenant(args) => access::tenant(context, args).await,
        Command::Policy(args) => policy::policy(context, args).await,
        Command::Records(args) => records::records(context, &args).await,
        Command::Manifest(args) => offline::manifest(context, args),
        Command::Config(args) => offline::config(context, args),
        Command::Identity(args) => identity::identity(context, args).await,
        Command::Shield(args) => shield::shield(context, args).await,
        Command::Doctor => doctor::doctor(context).await,
        Command::Completions(args) => offline::completions(context, &args, Cli::command()),
    }
}

/// Text from a file, or from stdin where it is `-`.
fn read_text(file: &std::path::Path) -> Result<String, Failure> {
    let read = if file == std::path::Path::new("-") {
        std::io::read_to_string(std::io::stdin())
    } else {
        std::fs::read_to_string(file)
    };
    read.map_err(|e| Failure::file("read", file, &e))
}
