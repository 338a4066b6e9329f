#!/usr/bin/env node
/** The process of `lastrow`: its streams, its signals, its exit code. Everything else is in program.ts. */
import { setFlagsFromString } from "node:v8";
import { watchTerminals } from "./closed-terminal.js";
import { Stop } from "./exit.js";
import { runCli } from "./program.js";

// Reading a vocabulary and printing rows of logits make garbage fast; V8 would grow its nursery by some fifty megabytes
// for it and keep them. The weights live elsewhere: a small nursery costs nothing that can be measured.
setFlagsFromString("--semi-space-growth-factor=1");

/** Milliseconds for what is still on its way to standard error. */
const LAST_WORDS_MS = 1000;

const { stdin, stdout, stderr, env } = process;
process.on("exit", watchTerminals());
const controller = new AbortController();

function stop(reason: Stop): void {
  if (!controller.signal.aborted) controller.abort(reason);
  process.exitCode = reason.exitCode;
}

// The first signal ends the command in order; the second one the process.
for (const [signal, exitCode] of [
  ["SIGINT", 130],
  ["SIGTERM", 143],
] as const) {
  process.on(signal, () => {
    if (!controller.signal.aborted) stop(new Stop(exitCode));
    else {
      // A bar or a spinner may have hidden the cursor.
      if (stderr.isTTY) stderr.write("\u001b[?25h");
      process.exit(exitCode);
    }
  });
}

stdout.on("error", (error: NodeJS.ErrnoException) => {
  // The reader of standard output closed it early, as `head` does.
  if (error.code === "EPIPE") stop(new Stop(141));
  else stop(new Stop(1, `Standard output cannot be written: ${error.message}.`));
});
// No reader is left.
stderr.on("error", () => undefined);

process.exitCode = await runCli(process.argv.slice(2), {
  stdin,
  stdout,
  stderr,
  env,
  signal: controller.signal,
});

// All is said by now. Whoever reads standard output may take long over it; a reader of standard error that stands still
// holds up nothing.
const lastWords = setInterval(() => {
  if (stdout.writableLength === 0) process.exit();
}, LAST_WORDS_MS);
lastWords.unref();
