/** HAProxy as a process of the test's: with a configuration that the test writes, or with the one of deploy/. */
import { once } from "node:events";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as later } from "node:timers/promises";
import { freePort, type Program, startProgram } from "./child-process.js";

export interface Haproxy extends Program {
  readonly url: string;
  readonly port: number;
}

/** What it calls the servers: their --instance. */
export const SERVERS: readonly string[] = ["lastrow-0", "lastrow-1", "lastrow-2"];

const SHIPPED = new URL("../../deploy/haproxy/haproxy.cfg", import.meta.url);

/**
 * The configuration of deploy/ before its three servers.
 * @param ports of the servers; what is missing does not answer
 * @param edit what a test changes about it
 */
export async function startShippedHaproxy(
  ports: readonly number[],
  edit: (configuration: string) => string = (same) => same,
): Promise<Haproxy & { readonly metricsUrl: string }> {
  const configuration = edit(await readFile(SHIPPED, "utf8"));
  const metrics = await freePort();
  const addresses = await Promise.all(
    SERVERS.map(async (_, i) => [`LASTROW_${i}`, `127.0.0.1:${ports[i] ?? (await freePort())}`]),
  );
  const env = {
    ...Object.fromEntries(addresses),
    LASTROW_PROXY_METRICS: `127.0.0.1:${metrics}`,
  };
  const proxy = await startHaproxy(() => configuration, env);
  return { ...proxy, metricsUrl: `http://127.0.0.1:${metrics}/metrics` };
}

/** @param configuration of the port that it is to listen to, on 127.0.0.1; that is in LASTROW_BIND, too */
export async function startHaproxy(
  configuration: (port: number) => string,
  env: NodeJS.ProcessEnv = {},
): Promise<Haproxy> {
  const folder = await mkdtemp(join(tmpdir(), "lastrow-haproxy-"));
  const file = join(folder, "haproxy.cfg");
  const port = await freePort();
  await writeFile(file, configuration(port));
  const program = await startProgram(["haproxy", "-db", "-f", file], null, {
    env: { ...env, LASTROW_BIND: `127.0.0.1:${port}` },
  });
  // It says nothing when it is ready.
  while (!(await isTaken(port))) {
    if (program.child.exitCode !== null) throw new Error(`haproxy ended:\n${program.log.join("\n")}`);
    await later(20);
  }
  return {
    ...{ ...program, port, url: `http://127.0.0.1:${port}` },
    async [Symbol.asyncDispose]() {
      await program[Symbol.asyncDispose]();
      await rm(folder, { recursive: true });
    },
  };
}

async function isTaken(port: number): Promise<boolean> {
  const socket = connect(port, "127.0.0.1");
  try {
    await once(socket, "connect");
    return true;
  } catch {
    return false;
  } finally {
    socket.destroy();
  }
}
