import { expect, it } from "vitest";
import { comparisonPlot } from "./comparison-plot.js";

it("draws a comparison of as many steps as a long generation has", () => {
  const steps = Array.from({ length: 200_000 }, (_, step) => ({ rows: step + 5, ms: step % 7 }));
  const { nodes } = comparisonPlot({ promptTokens: 5, cached: steps, recompute: steps, subtitle: "" });
  const labels = nodes.flatMap((node) => (node.type === "text" ? [node.text] : []));
  expect(labels).toContain("200,000");
});
