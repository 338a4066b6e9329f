/** The command line: which commands there are, which options each has, and what happens when one is run. */
import { Command, type HelpConfiguration, Option } from "commander";
import { DEFAULT_COMPARED_TOKENS, DEFAULT_MAX_TOKENS } from "../library/generate-options.js";
import { VERSION } from "../version.js";
import {
  type BenchCommandOptions,
  bench,
  DEFAULT_NEW_TOKENS,
  DEFAULT_PROMPT_TOKENS,
  DEFAULT_REPETITIONS,
} from "./commands/bench.js";
import { type CacheCommandOptions, cache, DEFAULT_CACHE_TOKENS } from "./commands/cache.js";
import { type ChatCommandOptions, chat } from "./commands/chat.js";
import { type CompareCommandOptions, compare, DEFAULT_PROMPT } from "./commands/compare.js";
import { type EmbedCommandOptions, embed } from "./commands/embed.js";
import { type ExplainCommandOptions, explainCommand } from "./commands/explain.js";
import { type GenerateCommandOptions, generate } from "./commands/generate.js";
import { type InspectCommandOptions, inspect } from "./commands/inspect.js";
import { type LogitsCommandOptions, logits } from "./commands/logits.js";
import {
  listModels,
  type ModelsCommandOptions,
  type RemoveCommandOptions,
  removeModels,
} from "./commands/models.js";
import { type PerplexityCommandOptions, perplexity } from "./commands/perplexity.js";
import type { ServeCommandOptions } from "./commands/serve.js";
import { type TokenizeCommandOptions, tokenize } from "./commands/tokenize.js";
import { examplesOf } from "./examples.js";
import { reportError, reportFailure, requestedStop } from "./exit.js";
import {
  addContinuationOptions,
  addEngineOptions,
  addModelOption,
  addOutputOptions,
  addPromptOptions,
  addSamplingOptions,
  atLeastOne,
  atLeastTwo,
  templateVariable,
  wholeNumber,
} from "./options.js";
import { addModelsOption, addServerOptions } from "./server-options.js";
import { addStructureOptions } from "./structure.js";
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

/** `endsBySignal`: a signal is how the command ends in order, so its own exit code counts. */
type Done = (exitCode: number, how?: { readonly endsBySignal?: boolean }) => void;

function addCompare(program: Command, io: Io, done: Done): void {
  const command = program
    .command("compare")
    .summary("generate with and without the KV cache, and compare every bit")
    .description(
      "Streams a text generated with the KV cache, generates it again by recomputing everything at each step, and compares the logits of every step as bits. Exit code 1 on a difference.",
    )
    .argument("[prompt]", `the beginning, or - for standard input (default: "${DEFAULT_PROMPT}")`)
    .addHelpText("after", examplesOf("compare"));
  addPromptOptions(command);
  addSamplingOptions(command, DEFAULT_COMPARED_TOKENS);
  addEngineOptions(command);
  addOutputOptions(command).option("--plot <file>", "draw rows and time of every step into an SVG file");
  command.action(async (prompt: string | undefined, options: CompareCommandOptions) => {
    done(await compare(prompt, options, io));
  });
}

function addExplain(program: Command, io: Io, done: Done): void {
  const command = program
    .command("explain")
    .summary("what the last row needs at each stage, and what recomputing wastes")
    .description(
      "Traces the model's own forward pass: what the last row is made from at each stage, so that K and V are worth keeping and Q is not. Runs the model both ways beside it, and compares what was counted. Exit code 1 when a counter differs.",
    )
    .argument("[prompt]", `the beginning, or - for standard input (default: "${DEFAULT_PROMPT}")`)
    .addHelpText("after", examplesOf("explain"));
  addPromptOptions(command)
    .option("--max-tokens <count>", "inferences of the run (default: 32)", atLeastOne)
    .option("--seed <number>", "seed of the text; costs do not depend on it (default: 7)", wholeNumber);
  addEngineOptions(command);
  addOutputOptions(command)
    .option("--svg <folder>", "write four figures of the last inference: whole, and attention, both ways")
    .option("--layer <number>", "the layer that figures show in full, from 0 (default: 0)", wholeNumber)
    .addOption(
      new Option("--theme <theme>", "theme of the figures; auto follows the viewer (default: auto)").choices([
        "auto",
        "light",
        "dark",
      ]),
    );
  command.action(async (prompt: string | undefined, options: ExplainCommandOptions) => {
    done(await explainCommand(prompt, options, io));
  });
}

function addGenerate(program: Command, io: Io, done: Done): void {
  const command = program
    .command("generate")
    .summary("continue a prompt")
    .description(
      "Streams the continuation of a prompt to standard output; for a model without a tokenizer its token ids.",
    )
    .argument("[prompt]", PIPED_PROMPT)
    .addHelpText("after", examplesOf("generate"));
  addPromptOptions(command);
  addSamplingOptions(command, DEFAULT_MAX_TOKENS);
  addEngineOptions(command).addOption(
    new Option("--mode <mode>", "cached, or recompute: every row again at each step, the same bits").choices([
      "cached",
      "recompute",
    ]),
  );
  addContinuationOptions(command);
  addStructureOptions(command);
  addOutputOptions(command)
    .option("--logprobs <count>", "show each token's log-probability and that many alternatives", wholeNumber)
    .option("--save <file>", "save the whole sequence with its K and V, to go on later")
    .option("--restore <file>", "go on from a saved sequence: the prompt is added to it")
    .option("--quiet", "no summary after the text");
  command.action(async (prompt: string | undefined, options: GenerateCommandOptions) => {
    done(await generate(prompt, options, io));
  });
}

function addLogits(program: Command, io: Io, done: Done): void {
  const command = program
    .command("logits")
    .summary("the likeliest next tokens of a prompt, or all logits")
    .description("Shows what the model expects after a prompt.")
    .argument("[prompt]", PIPED_PROMPT)
    .addHelpText("after", examplesOf("logits"));
  addPromptOptions(command);
  addEngineOptions(command);
  addOutputOptions(command)
    .option("--top <count>", "how many tokens the table has (default: 10)", atLeastOne)
    .option("--all", "every position of the prompt, not only the last");
  command.action(async (prompt: string | undefined, options: LogitsCommandOptions) => {
    done(await logits(prompt, options, io));
  });
}

function addInspect(program: Command, io: Io, done: Done): void {
  const command = program
    .command("inspect")
    .summary("a model's architecture, sizes and tensors")
    .description(
      "Shows a model's architecture, what it takes in memory, its tensors, and the metadata of a GGUF file.",
    )
    .addHelpText("after", examplesOf("inspect"));
  addEngineOptions(command);
  addOutputOptions(command).option(
    "--tensors",
    "a line for each tensor, equal ones of the layers not joined",
  );
  command.action(async (options: InspectCommandOptions) => {
    done(await inspect(options, io));
  });
}

function addTokenize(program: Command, io: Io, done: Done): void {
  const command = program
    .command("tokenize")
    .summary("the tokens of a text")
    .description("Shows a text's tokens: what the model is fed.")
    .argument("[text]", PIPED_PROMPT.replace("prompt", "text"))
    .addHelpText("after", examplesOf("tokenize"));
  addPromptOptions(command).option("--no-special", "without the tokens that the tokenizer adds to a text");
  addModelOption(command);
  addOutputOptions(command).option("--ids", "only the ids, with commas between them");
  command.action(async (text: string | undefined, options: TokenizeCommandOptions) => {
    done(await tokenize(text, options, io));
  });
}

function addPerplexity(program: Command, io: Io, done: Done): void {
  const command = program
    .command("perplexity")
    .summary("how well a model predicts a text")
    .description(
      "Scores every token of a text with what is before it, in windows of the model's context that move on by a stride, as Hugging Face's guide to perplexity does.",
    )
    .argument("[file]", "a file of UTF-8 text; standard input when omitted or -")
    .addHelpText("after", examplesOf("perplexity"));
  command
    .optionsGroup("Text:")
    .option(
      "--stride <count>",
      "tokens by which the window moves on (default: half the context)",
      atLeastOne,
    );
  addEngineOptions(command);
  addOutputOptions(command);
  command.action(async (file: string | undefined, options: PerplexityCommandOptions) => {
    done(await perplexity(file, options, io));
  });
}

function addEmbed(program: Command, io: Io, done: Done): void {
  const command = program
    .command("embed")
    .summary("vectors of texts, by a model that is made for it")
    .description(
      "Reads texts, one a line, and writes a line of JSON for each: the text, and its vector, of length 1. How vectors are made is what the model's files say (docs/embeddings.md).",
    )
    .argument("[file]", "a file of UTF-8 text; standard input when omitted or -")
    .addHelpText("after", examplesOf("embed"));
  command
    .optionsGroup("Vectors:")
    .option("--dimensions <count>", "values of a vector, the first ones (default: all)", atLeastOne)
    .option("--prompt-name <name>", "a prompt of the model's own in front of each text: query, say")
    .option("--prompt <text>", "a text of yours in front of each text")
    .addOption(
      new Option(
        "--pooling <rows>",
        "the last token's row, or the mean of all (default: as the model says)",
      ).choices(["last", "mean"]),
    );
  addEngineOptions(command);
  command
    .optionsGroup("Output:")
    .option("--debug", "show the stack and the causes of an error")
    .helpOption("-h, --help", "show this help");
  command.action(async (file: string | undefined, options: EmbedCommandOptions) => {
    done(await embed(file, options, io));
  });
}

function addCache(program: Command, io: Io, done: Done): void {
  const command = program
    .command("cache")
    .summary("which prompts share which blocks of the KV cache")
    .description(
      "Continues several prompts at once and shows, from the engine's events, which sequence held which block of the KV cache, which blocks were shared, and what stays findable.",
    )
    .argument("[prompts...]", "up to 26 prompts (default: four that begin alike)")
    .addHelpText("after", examplesOf("cache"));
  addSamplingOptions(command, DEFAULT_CACHE_TOKENS);
  addEngineOptions(command);
  addOutputOptions(command);
  command.action(async (prompts: string[], options: CacheCommandOptions) => {
    done(await cache(prompts, options, io));
  });
}

function addBench(program: Command, io: Io, done: Done): void {
  const command = program
    .command("bench")
    .summary("how fast a model is here, and how near to the machine's limits")
    .description(
      "Measures prefill and decoding with random tokens, in turns with this machine's limits: how fast it streams memory (decoding reads all weights, K and V once a token) and how fast it multiplies and adds in registers (prefill).",
    )
    .addHelpText("after", examplesOf("bench"));
  command
    .optionsGroup("Measurement:")
    .option(
      "--prompt-tokens <count>",
      `tokens of the prompt (default: ${DEFAULT_PROMPT_TOKENS}, or what fits)`,
      atLeastOne,
    )
    .option(
      "--new-tokens <count>",
      `tokens to generate, at least 2 (default: ${DEFAULT_NEW_TOKENS})`,
      atLeastTwo,
    )
    .option(
      "--repetitions <count>",
      `measured requests, after a warm-up (default: ${DEFAULT_REPETITIONS})`,
      atLeastOne,
    );
  addEngineOptions(command);
  addOutputOptions(command);
  command.action(async (options: BenchCommandOptions) => {
    done(await bench(options, io));
  });
}

function addChat(program: Command, io: Io, done: Done): void {
  const command = program
    .command("chat")
    .summary("talk with a model that has a chat template")
    .description(
      'A conversation, which stays in the KV cache: each answer computes only what is new. On a terminal with a history and line editing; from a pipe, each line is a message. A line that ends with a backslash goes on, and lines between """ are one message. /help lists the commands, ctrl-C stops an answer, ctrl-D ends.',
    )
    .addHelpText("after", examplesOf("chat"));
  command
    .optionsGroup("Conversation:")
    .option("--system <text>", "the system message, which begins the conversation")
    .option("--chat-template <file>", "a Jinja template, in place of the model's own")
    .option(
      "--var <name=value>",
      "a variable of the template, such as enable_thinking=false; repeatable",
      templateVariable,
    )
    .option("--drop-oldest", "when the context is full, go on without the oldest turns")
    .option("--keep-system", "with --drop-oldest: never drop the system message");
  addStructureOptions(command);
  addSamplingOptions(command, DEFAULT_MAX_TOKENS);
  addEngineOptions(command);
  command
    .optionsGroup("Output:")
    .option("--json", "a JSON object on a line for each answer, and nothing else on standard output")
    .option("--debug", "show the stack and the causes of an error")
    .helpOption("-h, --help", "show this help");
  command.action(async (options: ChatCommandOptions) => {
    done(await chat(options, io));
  });
}

function addServe(program: Command, io: Io, done: Done): void {
  const command = program
    .command("serve")
    .summary("answer OpenAI's, Ollama's and Anthropic's API over HTTP")
    .description(
      "Serves a model, or several, to programs that speak OpenAI's, Ollama's or Anthropic's API, on this machine only unless told otherwise. On SIGTERM or ctrl-C it finishes the requests under way and ends; a second one ends it at once.",
    )
    .addHelpText("after", examplesOf("serve"));
  addEngineOptions(command, addModelsOption);
  addServerOptions(command);
  command
    .optionsGroup("Output:")
    .option("--log-prompts", "log the prompts, too")
    .option("--debug", "show the stack and the causes of an error")
    .helpOption("-h, --help", "show this help");
  command.action(async (options: ServeCommandOptions) => {
    // Loaded lazily: other commands do not need the server.
    const { serve } = await import("./commands/serve.js");
    done(await serve(options, io), { endsBySignal: true });
  });
}

function addModels(program: Command, io: Io, done: Done): void {
  const command = program
    .command("models")
    .summary("list what is downloaded, and remove it")
    .description(
      "Lists the models of the Hugging Face cache, which lastrow and Python's tools share: what each takes, when it was last read, which revisions and GGUF files are there. models rm removes; the cache stays sound for Python's tools.",
    )
    .helpCommand(false)
    .option("--json", "JSON, with every file")
    .option("--debug", "show the stack and the causes of an error")
    .helpOption("-h, --help", "show this help")
    .addHelpText("after", examplesOf("models"));
  command.action(async (options: ModelsCommandOptions) => {
    done(await listModels(options, io));
  });
  command
    .command("rm")
    .summary("remove models")
    .description(
      "Removes downloaded models: all of a repository, or one of its revisions or GGUF files, and of what they share with others nothing. Asks before it does.",
    )
    .argument("<model...>", "org/repo, org/repo@revision, or org/repo:Q8_0")
    .option("-y, --yes", "do not ask")
    .option("--json", "JSON of what was removed")
    .option("--debug", "show the stack and the causes of an error")
    .helpOption("-h, --help", "show this help")
    .addHelpText("after", examplesOf("models"))
    .action(async (names: string[], _: RemoveCommandOptions, self: Command) => {
      // An option that models has, too, is taken for its own, wherever it stands.
      done(await removeModels(names, self.optsWithGlobals<RemoveCommandOptions>(), io));
    });
}

const PIPED_PROMPT =
  "the prompt; standard input when omitted or -, without one newline at its end (at a terminal, omitted: an empty one)";

function helpStyle(colours: Colours): HelpConfiguration {
  return {
    styleTitle: colours.bold,
    styleCommandText: colours.cyan,
    styleOptionTerm: colours.cyan,
    styleSubcommandTerm: colours.cyan,
    styleArgumentTerm: colours.cyan,
    sortSubcommands: false,
    subcommandTerm: (command) => command.name(),
  };
}
