/**
 * The first token over a slow link: two network namespaces, and a token bucket (`tc … tbf`) at the store's end of the cable
 * between them. Where loading beats computing it is loaded; where it does not, the engine finds out, and computes.
 */
import { execFile } from "node:child_process";
import { promisify } from "node:util";
import { twoHosts } from "../../test/fleet/network-namespaces.js";
import { startRedis } from "../../test/fleet/redis-server.js";
import { fill } from "./fill.js";
import {
  type Bench,
  KEY,
  median,
  megabytes,
  ms,
  only,
  options,
  prompt,
  type Table,
  type Types,
} from "./measured.js";
import { ModelProcess } from "./model-link.js";

const run = promisify(execFile);
const TYPES: Types = { dtype: "f32", kvDtype: "f32" };
const LINKS = [
  { name: "1 Gbit/s", rate: "1gbit", burst: "1mb", bytesPerMs: 125_000 },
  { name: "200 Mbit/s", rate: "200mbit", burst: "256kb", bytesPerMs: 25_000 },
];
const PORT = 6379;

/** @returns null where this machine gives no namespaces, said aloud */
export async function slowLink(bench: Bench): Promise<Table | null> {
  await using hosts = await twoHosts();
  if (hosts === null) return null;
  await using _redis = await startRedis({ port: PORT, host: hosts.b.address, by: hosts.b.by });
  const tier = { url: `redis://${hosts.b.address}:${PORT}`, key: KEY, write: "first" as const };
  const [command, ...by] = hosts.b.by;
  const { stdout } = await run(command, [...by, "ip", "-o", "link", "show", "type", "veth"]);
  const cable = /^\d+: ([^@:]+)/.exec(stdout)![1];

  const numPrompts = bench.rounds + 1;
  const numbers = Array.from({ length: numPrompts }, (_, i) => 500 + i);
  bench.say("slow link: written over a fast one");
  await fill(bench, { types: TYPES, tier, numbers, by: hosts.a.by });
  const rows: string[][] = [];
  for (const { name, rate, burst, bytesPerMs } of LINKS) {
    bench.say(`slow link: ${name}`);
    const bucket = ["root", "tbf", "rate", rate, "burst", burst, "latency", "50ms"];
    await run(command, [...by, "tc", "qdisc", "replace", "dev", cable, ...bucket]);
    await using reader = new ModelProcess(hosts.a.by);
    await reader.load("tier", bench.model, options(bench, TYPES, tier));
    await reader.load("none", bench.model, options(bench, TYPES));
    const cold: number[] = [];
    const warm: number[] = [];
    const computed: number[] = [];
    let rest = 0;
    for (const number of numbers) {
      const { firstMs, rowsComputed } = await only(reader.inTurn("tier", [prompt(number)]));
      warm.push(firstMs);
      computed.push(rowsComputed);
      rest = (await only(reader.inTurn("tier", [prompt(number)]))).firstMs;
      cold.push((await only(reader.inTurn("none", [prompt(number)]))).firstMs);
    }
    const { engine, tier: stats } = await reader.stats("tier");
    const bytes = (stats!.bytesRead / Math.max(1, stats!.hits)) * 56;
    const [first, ...later] = warm;
    rows.push([
      ...[name, ms(median(cold)), ms(first), ms(median(later)), (median(later) / median(cold)).toFixed(2)],
      ...[
        computed.join(", "),
        ms(bytes / bytesPerMs + rest),
        megabytes(stats!.bytesRead),
        String(engine!.declined),
      ],
    ]);
  }
  return {
    title: "First token of a prompt of 900 tokens, 896 of them in a tier behind a slow link",
    head: [
      ...["link", "computed", "with the tier: the first prompt", "later ones", "of computed"],
      ...["rows computed", "bytes / bandwidth + rows", "read", "declined"],
    ],
    rows,
    notes: [
      `f32 weights, f32 K and V. A process that was just started does not know its link; ${bench.rounds} prompts behind the first, median, in turns with the same model without a tier.`,
    ],
  };
}
