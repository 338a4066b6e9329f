/** The command line: which commands there are, and what happens when one is run. What each takes is in definitions/. */
import { Command, Help, type HelpConfiguration } from "commander";
import { VERSION } from "../version.js";
import { addChat, addServe } from "./definitions/chat-commands.js";
import type { Done } from "./definitions/definition.js";
import { addCache, addCompare, addExplain, addGenerate } from "./definitions/generate-commands.js";
import { addBench, addInspect, addModels } from "./definitions/model-commands.js";
import { addEmbed, addLogits, addPerplexity, addTokenize } from "./definitions/text-commands.js";
import { reportError, reportFailure, requestedStop } from "./exit.js";
import { type Colours, coloursFor, columnsOf, flush, type Io } from "./terminal.js";

/**
 * Runs one command.
 * @param args what follows the program's name
 * @returns the exit code, when everything is written; never throws
 */
export async function runCli(args: readonly string[], io: Io): Promise<number> {
  let exitCode = 0;
  let hasStopped = false;
  try {
    const program = buildProgram(io, (code, { endsBySignal = false } = {}) => {
      exitCode = code;
      hasStopped = endsBySignal;
    });
    await program.parseAsync(asOptions(args, program), { from: "user" });
  } catch (error) {
    if (requestedStop(io.signal) === null) exitCode = reportFailure(error, io, args.includes("--debug"));
  }
  await flush(io);
  const stop = requestedStop(io.signal);
  if (stop === null || (hasStopped && stop.message === null)) return exitCode;
  if (stop.message !== null) reportError(io, stop.message);
  return stop.exitCode;
}

/** `help` and `help generate` as `--help` and `generate --help`. */
function asOptions(args: readonly string[], { commands }: Command): readonly string[] {
  const [first = "help", asked] = args;
  if (first !== "help") return args;
  if (asked === undefined) return ["--help"];
  // An unknown command is reported as one.
  return commands.some((command) => command.name() === asked) ? [asked, "--help"] : [asked];
}

function buildProgram(io: Io, done: Done): Command {
  const program = new Command("lastrow")
    .description(
      "Language models with a KV cache that never changes the answer: recomputed or cached, the same bits.",
    )
    .version(VERSION, "-v, --version", "print the version")
    .helpOption("-h, --help", "show this help")
    .helpCommand(false)
    .exitOverride()
    .configureOutput({
      writeOut: (text) => io.stdout.write(text),
      // Errors are reported in one place: exit.ts.
      writeErr: () => undefined,
      outputError: () => undefined,
      getOutHelpWidth: () => Math.min(columnsOf(io.stdout), 100),
      getOutHasColors: () => coloursFor(io.stdout, io.env).isColorSupported,
    })
    .configureHelp(helpStyle(coloursFor(io.stdout, io.env)))
    .addHelpText("after", "\nlastrow help <command> shows a command's options, with examples.");
  addCompare(program, io, done);
  addExplain(program, io, done);
  addGenerate(program, io, done);
  addLogits(program, io, done);
  addInspect(program, io, done);
  addTokenize(program, io, done);
  addPerplexity(program, io, done);
  addEmbed(program, io, done);
  addCache(program, io, done);
  addBench(program, io, done);
  addChat(program, io, done);
  addServe(program, io, done);
  addModels(program, io, done);
  return program;
}

/** A description that would have less room beside its option stands below it. */
const NARROWEST_DESCRIPTION = 24;

function helpStyle(colours: Colours): HelpConfiguration {
  return {
    minWidthToWrap: NARROWEST_DESCRIPTION,
    formatItem(term, termWidth, description, helper) {
      const { helpWidth = 80 } = helper;
      // Two columns before the option, and two behind it.
      const isBeside = helpWidth - termWidth - 4 >= NARROWEST_DESCRIPTION;
      if (isBeside || description === "")
        return Help.prototype.formatItem.call(helper, term, termWidth, description, helper);
      const below = helper.boxWrap(description, Math.max(NARROWEST_DESCRIPTION, helpWidth - 6));
      return `  ${term}\n      ${below.replaceAll("\n", "\n      ")}`;
    },
    styleTitle: colours.bold,
    styleCommandText: colours.cyan,
    styleOptionTerm: colours.cyan,
    styleSubcommandTerm: colours.cyan,
    styleArgumentTerm: colours.cyan,
    sortSubcommands: false,
    subcommandTerm: (command) => command.name(),
  };
}
