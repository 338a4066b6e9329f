/** A Redis of the test's own: on a Unix socket or a free port, without disk, ended with the test. */
import { execFile } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { freePort, type Program, startProgram } from "./child-process.js";

export interface RedisServer extends Program {
  /** For `--tier`: `redis+unix:///…/redis.sock` or `redis://127.0.0.1:port`. */
  readonly url: string;
  /** What redis-cli answers to a command, without the newline at its end. Over the socket, so that a broken network does not keep it out. */
  ask(...command: string[]): Promise<string>;
  /** Lines of MONITOR from now on, each a command that a client sent. */
  monitor(): Promise<Program>;
}

export interface RedisOptions {
  /** Also listens at this port of `host`; "free": at one that is free. Default: on its Unix socket only. */
  readonly port?: number | "free";
  /** Default: 127.0.0.1. */
  readonly host?: string;
  /** Lines of redis.conf as options, such as `["--maxmemory", "1mb"]`, or the path of a file first. */
  readonly args?: readonly string[];
  readonly by?: readonly string[];
  /** Whom redis-cli is, where a file of users is loaded. */
  readonly asUser?: { readonly name: string; readonly password: string };
}

export async function startRedis(options: RedisOptions = {}): Promise<RedisServer> {
  const { host = "127.0.0.1", args = [], by = [], asUser } = options;
  const folder = await mkdtemp(join(tmpdir(), "lastrow-redis-"));
  const socket = join(folder, "redis.sock");
  const port = options.port === "free" ? await freePort() : (options.port ?? 0);
  const command = [
    ...["redis-server", ...args, "--port", String(port), "--bind", host, "--unixsocket", socket],
    ...["--dir", folder, "--save", "", "--appendonly", "no", "--daemonize", "no"],
    // By itself it refuses other hosts while it has no password.
    ...["--protected-mode", "no"],
  ];
  const program = await startProgram(command, (line) => line.includes("eady to accept connections"), { by });
  const cli = ["-s", socket, ...(asUser ? ["--user", asUser.name, "--pass", asUser.password] : [])];
  return {
    ...program,
    url: port === 0 ? `redis+unix://${socket}` : `redis://${host}:${port}`,
    async ask(...command) {
      const { stdout } = await promisify(execFile)("redis-cli", [...cli, ...command]);
      return stdout.replace(/\n$/, "");
    },
    monitor: () => startProgram(["redis-cli", ...cli, "monitor"], (line) => line === "OK"),
    async [Symbol.asyncDispose]() {
      await program[Symbol.asyncDispose]();
      await rm(folder, { recursive: true });
    },
  };
}
