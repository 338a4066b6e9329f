/** HAProxy as a process of the test's, with a configuration that the test gives. */
import { once } from "node:events";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as later } from "node:timers/promises";
import { freePort, type Program, startProgram } from "./child-process.js";

export interface Haproxy extends Program {
  readonly url: string;
  readonly port: number;
}

/** @param configuration of the port that it is to listen to, on 127.0.0.1 */
export async function startHaproxy(configuration: (port: number) => string): Promise<Haproxy> {
  const folder = await mkdtemp(join(tmpdir(), "lastrow-haproxy-"));
  const file = join(folder, "haproxy.cfg");
  const port = await freePort();
  await writeFile(file, configuration(port));
  const program = await startProgram(["haproxy", "-db", "-f", file], null);
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
