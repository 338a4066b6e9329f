/**
 * How a command ends: its exit code, and what it says when something is wrong. Every failure goes through
 * `reportFailure`; nothing else writes an error.
 *
 * Exit codes: 0 done; 1 an error, wrong usage, or a comparison that found a difference; 130 and 143 ended by SIGINT and
 * SIGTERM; 141 the reader of standard output left.
 */
import { inspect } from "node:util";
import { CommanderError } from "commander";
import { LastrowError } from "../errors.js";
import { printable } from "../printable.js";
import { coloursFor, columnsOf, type Io, WordWrap } from "./terminal.js";

/** Why a command has to end before it is done; the reason of `io.signal`. */
export class Stop {
  readonly exitCode: number;
  /** What to tell the user; null for nothing. */
  readonly message: string | null;

  constructor(exitCode: number, message: string | null = null) {
    this.exitCode = exitCode;
    this.message = message;
  }
}

/** The stop that was asked for, if any. */
export function requestedStop(signal: AbortSignal): Stop | null {
  return signal.aborted && signal.reason instanceof Stop ? signal.reason : null;
}

/** Writes one line: `error: ` and a sentence. */
export function reportError({ stderr, env }: Io, sentence: string, code?: string): void {
  const colours = coloursFor(stderr, env);
  const suffix = code === undefined ? "" : ` ${colours.dim(`[${code}]`)}`;
  const line = `${printable(sentence)}${suffix}`;
  if (stderr.isTTY !== true) {
    stderr.write(`${colours.red("error:")} ${line}\n`);
    return;
  }
  const wrap = new WordWrap(columnsOf(stderr));
  const shown =
    wrap.push("error:", colours.red) +
    wrap.push(` ${printable(sentence)}`) +
    (code === undefined ? "" : wrap.push(` [${code}]`, colours.dim)) +
    wrap.flush();
  stderr.write(`${shown}\n`);
}

/**
 * Says what went wrong: one sentence, and with `debug` the stack and the causes.
 * @returns the exit code
 */
export function reportFailure(error: unknown, io: Io, debug: boolean): number {
  if (error instanceof CommanderError) {
    // Help and version come this way, too; they are on standard output by now.
    if (error.exitCode === 0) return 0;
    reportError(io, usageSentence(error));
    return 1;
  }
  if (error instanceof LastrowError) reportError(io, withOptionNames(error), error.code);
  else {
    const said = error instanceof Error ? error.message : String(error);
    const advice = debug
      ? ""
      : " Run the command again with --debug for the details, and please report them.";
    reportError(io, `This is a bug in lastrow: ${said.replace(/\.?\s*$/, ".")}${advice}`);
  }
  // Without colours: they could not be told from what an error's text has of that kind.
  if (debug) io.stderr.write(`${printable(inspect(error))}\n`);
  return 1;
}

/** `error: unknown option '--tok'\n(Did you mean --tokens?)` as a sentence. */
function usageSentence({ code, message }: CommanderError): string {
  const [problem, suggestion] = message.replace(/^error: /, "").split("\n");
  const sentence = `${problem.charAt(0).toUpperCase()}${problem.slice(1)}`.replace(/\.?$/, ".");
  if (suggestion !== undefined) return `${sentence} ${suggestion.replace(/^\((.*)\)$/, "$1")}`;
  if (code === "commander.excessArguments") return `${sentence} Put a prompt of several words into quotes.`;
  if (code === "commander.invalidArgument") return sentence;
  return `${sentence} --help lists what there is.`;
}

/** The options of the library that have other names here. */
const OPTION_NAMES = [
  "maxTokens",
  "temperature",
  "topK",
  "topP",
  "minP",
  "repetitionPenalty",
  "frequencyPenalty",
  "presencePenalty",
  "logitBias",
  "seed",
  "logprobs",
  "contextLength",
  "kvMemory",
  "threads",
  "tokenBudget",
  "dtype",
  "stride",
  "promptTokens",
  "templateVariables",
  "keepSystem",
  "newTokens",
  "repetitions",
  "memory",
  "idle",
  "dimensions",
  "promptName",
];

/** The message of an error, with an option called as it is on the command line. */
function withOptionNames({ code, message }: LastrowError): string {
  if (code === "context_length_exceeded") {
    return message
      .replace("Begin a new one,", "Begin a new one (/reset),")
      .replace("(dropOldest)", "(--drop-oldest)");
  }
  if (code === "chat_template_missing") return message.replace("(template)", "(--chat-template)");
  if (code === "memory_limit_exceeded") {
    return message.replace(
      /(?<= with | and | or )(?:contextLength|kvMemory|kvDtype|dtype|memory)(?=[ ,.])/g,
      flagOf,
    );
  }
  if (message.includes('with pooling: "last"')) {
    return message.replace('pooling: "last" or "mean"', "--pooling last or --pooling mean");
  }
  const [name] = message.split(" ", 1);
  if (code !== "invalid_argument" || !OPTION_NAMES.includes(name)) return message;
  return `${flagOf(name)}${message.slice(name.length).replace(" dropOldest", " --drop-oldest")}`;
}

function flagOf(name: string): string {
  if (name === "contextLength") return "--context";
  if (name === "templateVariables") return "--var";
  return `--${name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`;
}
