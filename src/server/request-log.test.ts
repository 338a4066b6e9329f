import { describe, expect, test } from "vitest";
import { newRecord, type RequestRecord } from "./exchange.js";
import { jsonLog, readableLog } from "./request-log.js";

const plain = (text: string) => text;
const colours = { dim: plain, red: plain, yellow: plain, green: plain };

describe.each([
  { form: "JSON", logOf: (write: (line: string) => void) => jsonLog(write) },
  { form: "the form to read", logOf: (write: (line: string) => void) => readableLog(write, colours) },
])("in $form", ({ logOf }) => {
  function linesOf(changed: Partial<RequestRecord>, failure: unknown = null): string[] {
    const lines: string[] = [];
    const route = changed.route ?? null;
    logOf((line) => lines.push(line)).request(
      { ...newRecord("GET", route ?? "/nowhere"), totalMs: 1, ...changed },
      failure,
    );
    return lines;
  }

  test("a probe that finds all well has no line", () => {
    for (const route of ["/health", "/ready"]) expect(linesOf({ route, status: 200 })).toEqual([]);
  });

  test("a probe that finds something amiss, or fails, has one, as has any other request", () => {
    for (const [changed, failure] of [
      [{ route: "/ready", status: 503 }, null],
      [{ route: "/ready", status: 200 }, new Error("broken")],
      [{ route: "/health", status: 403, error: "forbidden" }, null],
      [{ route: "/metrics", status: 200 }, null],
      [{ route: null, status: 404, error: "not_found" }, null],
    ] as const) {
      const text = linesOf(changed, failure).join("");
      expect(text).toContain(changed.route ?? "/nowhere");
      expect(text).toContain(String(changed.status));
      if (failure !== null) expect(text).toContain("broken");
    }
  });
});
