/** The options of `lastrow serve` that are its own; the limits come from the server's table. */
import { type Command, InvalidArgumentError } from "commander";
import { LIMITS } from "../server/limits.js";
import { decimal, wholeNumber } from "./options.js";

export function addServerOptions(command: Command): Command {
  command
    .optionsGroup("Server:")
    .option("--host <address>", "where to listen; others than this machine need --api-keys", "127.0.0.1")
    .option("--port <number>", "0 takes any that is free", portNumber, 8080)
    .option("--api-keys <file>", "lines of a name and a key; read again on SIGHUP")
    .option("--insecure", "listen to others without keys")
    .option("--allow-host <name>", "a name that this server has, such as a proxy's; repeatable", collected)
    .option("--cors-origin <origin>", "pages that may use it, or * for all; repeatable", collected)
    .option("--served-model-name <name>", "what clients call the model")
    .option("--chat-template <file>", "a Jinja template, in place of the model's own")
    .option("--share-prefixes", "one prefix cache for all keys: for a single tenant")
    .option(
      "--cache-secret-file <file>",
      "what keys' salts are derived from (default: kept in --save-dir, else new each time)",
    )
    .option("--save-dir <folder>", "where clients may save sequences; one server each (default: nowhere)")
    .option("--drain-seconds <number>", "what is under way gets to finish on SIGTERM", seconds, 30);
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

function collected(text: string, before: readonly string[] = []): string[] {
  return [...before, text];
}
