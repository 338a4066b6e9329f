/** Hosts as network namespaces with a cable between each two, which can be pulled: connections stay open and silent. */
import { execFile } from "node:child_process";
import { promisify } from "node:util";

const run = promisify(execFile);
const ip = (...args: string[]) => run("ip", args);

export interface Hosts extends AsyncDisposable {
  readonly a: Host;
  readonly b: Host;
  /** Pulls the cable, or plugs it in again. */
  link(state: "up" | "down"): Promise<void>;
}

interface Host {
  readonly address: string;
  /** What a command is begun with to run there. */
  readonly by: readonly string[];
}

/**
 * Two hosts, each of which reaches the other and itself.
 * @returns null, said aloud, where this machine refuses them
 */
export async function twoHosts(): Promise<Hosts | null> {
  const [a, b] = ["a", "b"].map((name) => `lastrow-${process.pid}-${name}`);
  const [cableA, cableB] = ["a", "b"].map((end) => `lr${process.pid}${end}`);
  const remove = () => Promise.allSettled([ip("netns", "del", a), ip("netns", "del", b)]);
  try {
    await ip("netns", "add", a);
    await ip("netns", "add", b);
    await ip("link", "add", cableA, "netns", a, "type", "veth", "peer", "name", cableB, "netns", b);
    for (const [name, cable, address] of [
      [a, cableA, "10.77.0.1"],
      [b, cableB, "10.77.0.2"],
    ]) {
      await ip("-n", name, "addr", "add", `${address}/24`, "dev", cable);
      await ip("-n", name, "link", "set", cable, "up");
      await ip("-n", name, "link", "set", "lo", "up");
    }
  } catch (error) {
    await remove();
    if (
      process.platform === "linux" &&
      process.getuid?.() === 0 &&
      !/not permitted|denied/.test(String(error))
    ) {
      throw error;
    }
    process.stderr.write(`SKIPPED: this machine gives no network namespaces (${String(error).trim()})\n`);
    return null;
  }
  const host = (name: string, address: string) => ({ address, by: ["ip", "netns", "exec", name] });
  return {
    a: host(a, "10.77.0.1"),
    b: host(b, "10.77.0.2"),
    link: async (state) => void (await ip("-n", b, "link", "set", cableB, state)),
    [Symbol.asyncDispose]: async () => void (await remove()),
  };
}
