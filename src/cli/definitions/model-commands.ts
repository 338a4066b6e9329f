/** `inspect`, `bench` and `models`: a model itself, its speed, and which are downloaded. */
import type { Command } from "commander";
import {
  type BenchCommandOptions,
  bench,
  DEFAULT_NEW_TOKENS,
  DEFAULT_PROMPT_TOKENS,
  DEFAULT_REPETITIONS,
} from "../commands/bench.js";
import { type InspectCommandOptions, inspect } from "../commands/inspect.js";
import {
  listModels,
  type ModelsCommandOptions,
  type RemoveCommandOptions,
  removeModels,
} from "../commands/models.js";
import { examplesOf } from "../examples.js";
import { addEngineOptions, addOutputOptions, atLeastOne, atLeastTwo } from "../options.js";
import type { Io } from "../terminal.js";
import type { Done } from "./definition.js";

export function addInspect(program: Command, io: Io, done: Done): void {
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

export function addBench(program: Command, io: Io, done: Done): void {
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

export function addModels(program: Command, io: Io, done: Done): void {
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
