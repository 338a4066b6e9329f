/** `compare`, `explain`, `generate` and `cache`: what generates, and shows how. */
import { type Command, Option } from "commander";
import { DEFAULT_COMPARED_TOKENS, DEFAULT_MAX_TOKENS } from "../../library/generate-options.js";
import { type CacheCommandOptions, cache, DEFAULT_CACHE_TOKENS } from "../commands/cache.js";
import { type CompareCommandOptions, compare, DEFAULT_PROMPT } from "../commands/compare.js";
import { type ExplainCommandOptions, explainCommand } from "../commands/explain.js";
import { type GenerateCommandOptions, generate } from "../commands/generate.js";
import { examplesOf } from "../examples.js";
import {
  addContinuationOptions,
  addEngineOptions,
  addOutputOptions,
  addPromptOptions,
  addSamplingOptions,
  atLeastOne,
  wholeNumber,
} from "../options.js";
import { addStructureOptions } from "../structure.js";
import type { Io } from "../terminal.js";
import { type Done, PIPED_PROMPT } from "./definition.js";

export function addCompare(program: Command, io: Io, done: Done): void {
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

export function addExplain(program: Command, io: Io, done: Done): void {
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

export function addGenerate(program: Command, io: Io, done: Done): void {
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

export function addCache(program: Command, io: Io, done: Done): void {
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
