/**
 * `npm run test:memory`: 10,000 requests in a row, then 1,000 that are cancelled at random points, on a small model; the
 * process's memory is sampled on the way and drawn into an SVG. Fails when blocks stay referenced, or when memory grows
 * after the warm-up.
 *
 *   npm run test:memory -- --requests 10000 --cancelled 1000 --svg memory.svg
 */
import { writeFile } from "node:fs/promises";
import { parseArgs } from "node:util";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import type { Scene, SceneNode } from "../../src/explain/scene.js";
import { renderSvg } from "../../src/explain/svg.js";
import { load } from "../../src/library/load.js";
import { cancelRequest, finishRequest } from "../engine/requests.js";
import { modelFolders } from "../fixture-models.js";

const { values } = parseArgs({
  options: {
    requests: { type: "string", default: "10000" },
    cancelled: { type: "string", default: "1000" },
    svg: { type: "string" },
  },
});
const numRequests = Number(values.requests);
const numCancelled = Number(values.cancelled);
if (
  !(Number.isInteger(numRequests) && numRequests > 0 && Number.isInteger(numCancelled) && numCancelled >= 0)
) {
  process.stderr.write("--requests and --cancelled are whole numbers.\n");
  process.exit(2);
}

/** Requests before memory is expected to stay what it is, as a share of all. */
const WARM_UP = 0.3;
/** Growth that counts as one: the allocator's own ups and downs are smaller. */
const GROWTH_BYTES = 12e6;

setFlagsFromString("--expose-gc");
const collectGarbage = runInNewContext("gc") as () => void;

interface Sample {
  readonly requests: number;
  readonly rssBytes: number;
}

const lm = await load(modelFolders.tiny, { threads: 1, kvMemory: "512KiB" });
const samples: Sample[] = [];
const total = numRequests + numCancelled;
const every = Math.max(1, Math.floor(total / 110));
for (let i = 0; i < total; i++) {
  if (i < numRequests) await finishRequest(lm, i);
  else await cancelRequest(lm, i);
  if ((i + 1) % every !== 0) continue;
  collectGarbage();
  samples.push({ requests: i + 1, rssBytes: process.memoryUsage.rss() });
  if (samples.length % 11 === 0)
    process.stdout.write(`${i + 1} requests, ${megabytes(samples.at(-1)!)} MB\n`);
}
const { blocks, sequences } = await lm.stats();
await lm.dispose();
if (values.svg !== undefined) await writeFile(values.svg, renderSvg(figure(samples)));

const settled = samples.slice(Math.floor(WARM_UP * samples.length));
const half = Math.floor(settled.length / 2);
const median = (part: readonly Sample[]) =>
  part.map(({ rssBytes }) => rssBytes).sort((a, b) => a - b)[Math.floor(part.length / 2)];
const growth = median(settled.slice(half)) - median(settled.slice(0, half));
process.stdout.write(
  `${numRequests} requests and ${numCancelled} cancelled: ${blocks.referenced} blocks referenced, ${sequences.idle + sequences.running + sequences.waiting} sequences; after the warm-up memory changed by ${(growth / 1e6).toFixed(1)} MB\n`,
);
if (blocks.referenced > 0 || growth > GROWTH_BYTES) process.exitCode = 1;

function megabytes({ rssBytes }: Sample): string {
  return (rssBytes / 1e6).toFixed(0);
}

/** Memory over requests. */
function figure(points: readonly Sample[]): Scene {
  const [width, height, left, top, bottom] = [720, 320, 64, 48, 44];
  const highest = Math.ceil(Math.max(...points.map(({ rssBytes }) => rssBytes)) / 50e6) * 50e6;
  const x = (requests: number) => left + ((width - left - 24) * requests) / total;
  const y = (bytes: number) => height - bottom - ((height - top - bottom) * bytes) / highest;
  const nodes: SceneNode[] = [];
  for (let bytes = 0; bytes <= highest; bytes += 50e6) {
    nodes.push(
      { type: "path", d: `M${left} ${y(bytes)}H${width - 24}`, role: bytes === 0 ? "axis" : "grid" },
      { type: "text", x: left - 8, y: y(bytes) + 4, text: `${bytes / 1e6} MB`, role: "tick", anchor: "end" },
    );
  }
  for (const requests of [0, 0.25 * numRequests, 0.5 * numRequests, 0.75 * numRequests, numRequests]) {
    const text = Math.round(requests).toLocaleString("en");
    nodes.push({
      type: "text",
      x: x(requests),
      y: height - bottom + 18,
      text,
      role: "tick",
      anchor: "middle",
    });
  }
  const curve = points.map(
    ({ requests, rssBytes }, i) =>
      `${i === 0 ? "M" : "L"}${x(requests).toFixed(1)} ${y(rssBytes).toFixed(1)}`,
  );
  nodes.push(
    { type: "path", d: curve.join(""), role: "curveCached" },
    { type: "path", d: `M${x(numRequests)} ${top}V${height - bottom}`, role: "leader" },
    {
      type: "text",
      x: x(numRequests) - 6,
      y: top + 12,
      text: "cancelled from here",
      role: "note",
      anchor: "end",
    },
    {
      type: "text",
      x: left,
      y: 24,
      text: "Memory of the process (RSS) over requests",
      role: "title",
      anchor: "start",
    },
    { type: "text", x: width - 24, y: height - 8, text: "requests in a row", role: "note", anchor: "end" },
  );
  return {
    width,
    height,
    title: "Memory over requests",
    description: `Resident memory while ${numRequests} requests end and ${numCancelled} are cancelled at random points.`,
    nodes,
  };
}
