/** `chat` and `serve`: a model in conversations, on a terminal and over HTTP. */
import type { Command } from "commander";
import { DEFAULT_REPLY_TOKENS } from "../../library/generate-options.js";
import { type ChatCommandOptions, chat } from "../commands/chat.js";
import type { ServeCommandOptions } from "../commands/serve.js";
import { examplesOf } from "../examples.js";
import { addEngineOptions, addSamplingOptions, templateVariable } from "../options.js";
import { addModelsOption, addServerOptions } from "../server-options.js";
import { addStructureOptions } from "../structure.js";
import type { Io } from "../terminal.js";
import type { Done } from "./definition.js";

export function addChat(program: Command, io: Io, done: Done): void {
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
  addSamplingOptions(command, `${DEFAULT_REPLY_TOKENS}, at most half the context`);
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

export function addServe(program: Command, io: Io, done: Done): void {
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
    const { serve } = await import("../commands/serve.js");
    done(await serve(options, io), { endsBySignal: true });
  });
}
