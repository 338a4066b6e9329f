/** The options of `lastrow serve` that are its own; the limits come from the server's table. */
import { type Command, InvalidArgumentError, Option } from "commander";
import { parseDuration } from "../duration.js";
import { parseMemorySize } from "../memory-size.js";
import { LIMITS } from "../server/limits.js";
import { CALL_FORMATS } from "../tools/call-format.js";
import { type NamedSource, namedSource } from "./named-source.js";
import { decimal, wholeNumber } from "./options.js";
import { addTierOptions } from "./tier-options.js";

/** In place of the other commands' `--model`: may be given several times. */
export function addModelsOption(command: Command): Command {
  return command
    .optionsGroup("Model:")
    .option(
      "--model <[name=]model>",
      "as for other commands; with name= before it, clients call it so; repeatable: each is loaded when it is first asked for (default: stories)",
      (text, before: readonly NamedSource[] = []) => [...before, namedSource(text)],
    );
}

export function addServerOptions(command: Command): Command {
  command
    .optionsGroup("Server:")
    .option("--host <address>", "address to listen on; beyond this machine it needs --api-keys", "127.0.0.1")
    .option("--port <number>", "port to listen on; 0 picks a free one", portNumber, 8080)
    .option(
      "--instance <name>",
      "this server's name among several: ids of held sequences and of responses begin with it, to be routed by",
    )
    .option("--api-keys <file>", "a name and a key on each line; read again on SIGHUP")
    .option("--insecure", "listen beyond this machine without keys")
    .option("--allow-host <name>", "a name that this server has, such as a proxy's; repeatable", collected)
    .option(
      "--cors-origin <origin>",
      "an origin whose pages may use this server, or *; repeatable",
      collected,
    )
    .option("--served-model-name <name>", "what clients call a single model")
    .option(
      "--memory <size>",
      "of several models: what all that are loaded take together (default: three quarters of what is free)",
      memorySize,
    )
    .option(
      "--idle <time>",
      "of several models: unload one that is unused for so long, such as 10m (default: when another needs its room)",
      duration,
    )
    .option("--chat-template <file>", "a Jinja template, in place of the model's own")
    .addOption(
      new Option(
        "--tool-format <form>",
        "how the model writes calls of tools (default: as its template asks for them)",
      ).choices(CALL_FORMATS),
    )
    .option("--share-prefixes", "one prefix cache for all keys: for a single tenant")
    .option(
      "--cache-secret-file <file>",
      "secret that the keys' salts are derived from (default: kept in --save-dir, else new each time)",
    )
    .option(
      "--save-dir <folder>",
      "folder for clients' saved sequences, of this server alone (default: none)",
    )
    .option(
      "--drain-seconds <number>",
      "time that requests under way have to finish after SIGTERM",
      seconds,
      30,
    );
  addTierOptions(command);
  command.optionsGroup("Limits:");
  for (const { flag, unit, about, default: standard, least } of Object.values(LIMITS)) {
    const shown = standard === null ? "" : ` (default: ${standard})`;
    command.option(`--${flag} <${unit}>`, about + shown, (text) => atLeast(text, unit, least));
  }
  return command;
}

function atLeast(text: string, unit: string, least: number): number {
  const number = unit === "seconds" ? decimal(text) : wholeNumber(text);
  if (number >= least) return number;
  throw new InvalidArgumentError(`It must be at least ${least}.`);
}

function portNumber(text: string): number {
  const number = wholeNumber(text);
  if (number <= 65535) return number;
  throw new InvalidArgumentError("It must be a port, 0 to 65535.");
}

function seconds(text: string): number {
  const number = decimal(text);
  if (number >= 0) return number;
  throw new InvalidArgumentError("It must be at least 0.");
}

function memorySize(text: string): string {
  parseMemorySize(text, "memory");
  return text;
}

function duration(text: string): string {
  parseDuration(text, "idle");
  return text;
}

function collected(text: string, before: readonly string[] = []): string[] {
  return [...before, text];
}
