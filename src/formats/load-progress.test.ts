import { expect, it, test } from "vitest";
import { type LoadProgress, type ReadProgress, withRate } from "./load-progress.js";

/** What is told of reports at some times, in milliseconds. */
function told(reports: readonly (readonly [at: number, ReadProgress])[]): LoadProgress[] {
  const seen: LoadProgress[] = [];
  let at = 0;
  const report = withRate(
    (progress) => seen.push(progress),
    () => at,
  );
  for (const [when, progress] of reports) {
    at = when;
    report(progress);
  }
  return seen;
}

const download = { phase: "download", file: "model.safetensors", totalBytes: 1000 } as const;
const rates = (reports: Parameters<typeof told>[0]) =>
  told(reports).map((progress) => progress.bytesPerSecond);

it("has the rate since a phase began, without what was there already", () => {
  const load = { ...download, phase: "load" } as const;
  expect(
    rates([
      [50, { ...download, loadedBytes: 500 }],
      [50, { ...download, loadedBytes: 510 }],
      [150, { ...download, loadedBytes: 600 }],
      [1050, { ...download, loadedBytes: 1000 }],
      [9000, { ...load, loadedBytes: 10 }],
      [9500, { ...load, loadedBytes: 1000 }],
    ]),
  ).toEqual([0, 0, 1000, 500, 0, 1980]);
});

it("does not count the time that the Hub is waited for", () => {
  const reports = [
    [0, { ...download, loadedBytes: 0 }],
    [1000, { ...download, loadedBytes: 400 }],
    [1000, { ...download, loadedBytes: 400, retryInSeconds: 60 }],
    [61_000, { ...download, loadedBytes: 400 }],
    [62_000, { ...download, loadedBytes: 900 }],
  ] as const;
  expect(rates(reports)).toEqual([0, 400, 400, 0, 500]);
  expect(told(reports)[2]).toEqual({
    ...{ ...download, loadedBytes: 400, retryInSeconds: 60 },
    bytesPerSecond: 400,
  });
});

test.each([
  ["/models/llama/model-00001-of-00002.safetensors", "model-00001-of-00002.safetensors"],
  ["C:\\models\\llama\\model.safetensors", "model.safetensors"],
  ["https://example.com/llama/model.safetensors?token=a/b#c", "model.safetensors"],
  ["model.safetensors", "model.safetensors"],
  ["what?#.safetensors", "what?#.safetensors"],
  ["folder/", "folder/"],
])("%s is called %s", (file, name) => {
  expect(told([[0, { ...download, file, loadedBytes: 1 }]])[0].file).toBe(name);
});
