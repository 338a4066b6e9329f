/** `lastrow serve` as a process of its own, for tests. */
import { type ChildProcess, spawn } from "node:child_process";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";

export const MAIN = fileURLToPath(new URL("../../dist/cli/main.js", import.meta.url));

export interface Running {
  readonly child: ChildProcess;
  readonly url: string;
  readonly port: number;
  /** Lines of the log. */
  readonly log: string[];
}

const started: ChildProcess[] = [];

/** Ends a process with the test. */
export function endLater(child: ChildProcess): void {
  started.push(child);
}

/** To be called after each test. */
export function endAll(): void {
  for (const child of started.splice(0)) if (child.exitCode === null) child.kill("SIGKILL");
}

export const start = (...args: string[]) => startIn({}, ...args);

/**
 * @param by what runs it, if it is not run by itself
 * @param main of the build that is run; this one by default
 */
export async function startIn(
  {
    by = [],
    main = MAIN,
  }: { readonly by?: readonly string[] | undefined; readonly main?: string | undefined },
  ...args: string[]
): Promise<Running> {
  const [command, ...rest] = [...by, process.execPath];
  const child = spawn(command, [...rest, main, "serve", "--port", "0", "--threads", "1", ...args], {
    stdio: ["ignore", "pipe", "pipe"],
  });
  endLater(child);
  const log: string[] = [];
  createInterface({ input: child.stderr! }).on("line", (line) => log.push(line));
  for await (const line of createInterface({ input: child.stdout! })) {
    const url = /http:\/\/[\d.]+:(\d+)/.exec(line);
    if (url !== null) return { child, url: url[0], port: Number(url[1]), log };
  }
  throw new Error(`the server did not start: ${log.join("\n")}`);
}

export const complete = (url: string, body: object, signal?: AbortSignal) =>
  fetch(`${url}/v1/completions`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ prompt: "Once upon a time", ignore_eos: true, ...body }),
    signal: signal ?? null,
  });

/** A gauge or a counter without labels of its own. */
export async function metric(url: string, name: string): Promise<number> {
  const text = await (await fetch(`${url}/metrics`)).text();
  return Number(new RegExp(`^${name}(?:\\{[^}]*\\})? (\\S+)$`, "m").exec(text)?.[1]);
}
