/** Programs that a test starts and ends: output line by line, and no end of the test without theirs. */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { createServer } from "node:net";
import { createInterface } from "node:readline";

/** A program that runs until it is disposed of. */
export interface Program extends AsyncDisposable {
  readonly child: ChildProcess;
  /** Lines of both of its outputs. */
  readonly log: string[];
}

/**
 * Starts a program and waits until it says that it is ready.
 * @param by what runs it, such as `["ip", "netns", "exec", "a"]`
 * @param isReady of a line of its output; null: it is ready when it has started
 * @throws with its output, when it ends before
 */
export async function startProgram(
  [command, ...args]: readonly string[],
  isReady: ((line: string) => boolean) | null,
  { by = [], env = {} }: { readonly by?: readonly string[]; readonly env?: NodeJS.ProcessEnv } = {},
): Promise<Program> {
  const [first, ...rest] = [...by, command, ...args];
  const child = spawn(first, rest, { stdio: ["ignore", "pipe", "pipe"], env: { ...process.env, ...env } });
  const log: string[] = [];
  const program = {
    ...{ child, log },
    async [Symbol.asyncDispose]() {
      if (child.exitCode !== null || child.signalCode !== null || child.pid === undefined) return;
      const exit = once(child, "exit");
      // It ends one that is stopped, too.
      child.kill("SIGKILL");
      await exit;
    },
  };
  await new Promise<void>((resolve, reject) => {
    child.once("error", reject);
    child.once("exit", () => reject(new Error(`${command} ended:\n${log.join("\n")}`)));
    for (const output of [child.stdout!, child.stderr!]) {
      createInterface({ input: output }).on("line", (line) => {
        log.push(line);
        if (isReady?.(line)) resolve();
      });
    }
    if (isReady === null) child.once("spawn", () => resolve());
  });
  return program;
}

/** A port of this machine that was free a moment ago. */
export async function freePort(): Promise<number> {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as { port: number };
  await new Promise((resolve) => server.close(resolve));
  return port;
}
