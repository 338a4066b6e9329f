import { expect, test } from "vitest";
import { formatReport } from "./report.js";
import {
  type Configuration,
  compareWithPeers,
  countedLoads,
  median,
  type PageLoad,
  requestFigures,
  summarise,
} from "./statistics.js";

const SIZES = [{ promptTokens: 512, newTokens: 64 }];
const OURS: Configuration = { engine: "lastrow", type: "int8", variant: "", threads: 2 };
const PEER: Configuration = { engine: "wllama", type: "q8_0", variant: "", threads: 2 };

/** A page load whose first token came after `firstMs`, and the others within a second. */
function pageLoad(
  configuration: Configuration,
  firstMs: number,
  { round = 0, otherLoad = 0, firstTokens = 1 } = {},
): PageLoad {
  const request = { firstTokens, newTokens: 64, firstMs, lastMs: firstMs + 1000, totalMs: firstMs + 1000 };
  return {
    ...{ browser: "chromium", configuration, round, sizes: SIZES, otherLoad },
    ...{ pagePeakBytes: firstMs * 2 ** 20, residentBytes: 0 },
    fetched: { codeBytes: 0, codeGzipBytes: 1000 * firstMs, modelBytes: 0 },
    report: {
      ...{ id: "", userAgent: "", isIsolated: true, loadMs: firstMs, info: {}, requests: [request] },
    },
  };
}

test("the median of an even count is between the middle two, and the order given does not matter", () => {
  expect(median([3])).toBe(3);
  expect(median([10, 2, 9])).toBe(9);
  expect(median([100, 1, 2, 4])).toBe(3);
  expect(() => median([])).toThrow("no values");
});

test("decode counts the tokens after the first report", () => {
  expect(requestFigures(pageLoad(OURS, 1024))).toEqual([{ prefill: 500, decode: 63, wholeMs: 2024 }]);
  expect(requestFigures(pageLoad(OURS, 1024, { firstTokens: 4 }))[0]!.decode).toBe(60);
});

test("of a round the least disturbed attempt counts, and none that was disturbed beside one that was not", () => {
  const loads = [
    pageLoad(OURS, 1, { round: 0, otherLoad: 0.2 }),
    pageLoad(OURS, 2, { round: 0, otherLoad: 0.01 }),
    pageLoad(OURS, 3, { round: 0, otherLoad: 0.02 }),
    pageLoad(OURS, 4, { round: 1, otherLoad: 0.3 }),
    pageLoad(OURS, 5, { round: 2, otherLoad: 0.05 }),
  ];
  const counted = (quiet: number) => countedLoads(loads, quiet).map(({ report }) => report.loadMs);
  expect(counted(0.05)).toEqual([2, 5]);
  expect(counted(0.001)).toEqual([2, 4, 5]);
});

test("ratios are above 1 where lastrow is ahead, of the same threads, browser and width of weights", () => {
  const others = [
    { ...PEER, type: "f32" },
    { ...PEER, threads: 1 },
  ].map((configuration) => pageLoad(configuration, 7));
  const elsewhere: PageLoad = { ...pageLoad(PEER, 7), browser: "firefox" };
  const loads = [100, 200, 900].map((ms, round) => pageLoad(OURS, ms, { round }));
  const rows = summarise([...loads, pageLoad(PEER, 400), ...others, elsewhere], 0.05);
  const ratios = compareWithPeers(rows);
  expect(ratios).toEqual([
    {
      ...{ browser: "chromium", ours: OURS, peer: PEER, load: 2, memory: 2, code: 4 },
      requests: [{ prefill: 2, decode: 1, wholeMs: 1400 / 1200 }],
    },
  ]);
});

test("the report has medians and ratios of each browser and number of threads, and no empty table", () => {
  const loads = [pageLoad(OURS, 200), pageLoad(PEER, 400), pageLoad({ ...PEER, threads: 1 }, 400)];
  expect(formatReport(summarise(loads, 0.05), SIZES)).toBe(`chromium, 2 threads, isolated page: medians

|  | type | load | prefill 512 | decode 64 | 512 + 64 | memory | code, gzip | model fetched | loads | other load |
| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |
| lastrow | int8 | 0.20 s | 2560 tok/s | 63.0 tok/s | 1.20 s | 200 MiB | 200 kB | 0 MB | 1 | 0 % |
| wllama | q8_0 | 0.40 s | 1280 tok/s | 63.0 tok/s | 1.40 s | 400 MiB | 400 kB | 0 MB | 1 | 0 % |

Times as good as the peer (above 1: lastrow is ahead)

| lastrow | against | load | prefill 512 | decode 64 | 512 + 64 | memory | code |
| --- | --- | --- | --- | --- | --- | --- | --- |
| int8 | wllama q8_0 | 2.00 | 2.00 | 1.00 | 1.17 | 2.00 | 2.00 |

chromium, one thread, page not isolated: medians

|  | type | load | prefill 512 | decode 64 | 512 + 64 | memory | code, gzip | model fetched | loads | other load |
| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |
| wllama | q8_0 | 0.40 s | 1280 tok/s | 63.0 tok/s | 1.40 s | 400 MiB | 400 kB | 0 MB | 1 | 0 % |
`);
});
