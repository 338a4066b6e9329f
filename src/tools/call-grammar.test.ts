/** What tools' grammars let through is read as calls whose arguments fit. */
import { expect, test } from "vitest";
import { expectHostileToolsRefused } from "../../test/grammars/hostile-tools.js";
import { expectFittingCalls, PARAMETERS } from "../../test/grammars/random-calls.js";
import { CALL_FORMATS } from "./call-format.js";

test.each(CALL_FORMATS.map((format) => [format]))(
  "%s: calls fit, of tools with arguments of every kind",
  (format) => {
    const some = format === "hermes" || format === "qwen3-coder" ? PARAMETERS : PARAMETERS.slice(0, 4);
    expectFittingCalls(
      format,
      some.map(([, parameters]) => parameters),
      10,
      1,
    );
  },
);

test("tools that are wrong or too much are refused with their place", () => {
  const { refused, compiled } = expectHostileToolsRefused(200);
  expect(Math.min(refused, compiled)).toBeGreaterThan(20);
});
