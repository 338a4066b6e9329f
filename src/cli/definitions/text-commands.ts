/** `logits`, `tokenize`, `perplexity` and `embed`: what a model makes of texts. */
import { type Command, Option } from "commander";
import { type EmbedCommandOptions, embed } from "../commands/embed.js";
import { type LogitsCommandOptions, logits } from "../commands/logits.js";
import { type PerplexityCommandOptions, perplexity } from "../commands/perplexity.js";
import { type TokenizeCommandOptions, tokenize } from "../commands/tokenize.js";
import { examplesOf } from "../examples.js";
import {
  addEngineOptions,
  addModelOption,
  addOutputOptions,
  addPromptOptions,
  atLeastOne,
} from "../options.js";
import type { Io } from "../terminal.js";
import { type Done, PIPED_PROMPT } from "./definition.js";

export function addLogits(program: Command, io: Io, done: Done): void {
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

export function addTokenize(program: Command, io: Io, done: Done): void {
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

export function addPerplexity(program: Command, io: Io, done: Done): void {
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

export function addEmbed(program: Command, io: Io, done: Done): void {
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
