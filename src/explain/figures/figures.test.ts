import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { decoderSpecs, FAMILY_SPECS, type FamilySpecName } from "../../../test/decoder-specs.js";
import { plainTrace } from "../../../test/spec-model.js";
import { gpt2 } from "../../architectures/gpt2.js";
import type { ModelConfig } from "../../model/config.js";
import type { Scene, SceneNode, SceneRect } from "../scene.js";
import { renderSvg } from "../svg.js";
import { ancestors, lastLogits } from "../trace.js";
import { traceForward } from "../trace-forward.js";
import { attentionFigure } from "./attention-figure.js";
import { inferenceFigure } from "./inference-figure.js";

function config(numLayers: number, contextLength = 64): ModelConfig {
  const sizes = { n_layer: numLayers, n_head: 2, n_embd: 8, n_positions: contextLength, vocab_size: 61 };
  return gpt2.config({ model_type: "gpt2", ...sizes }, "config.json", {});
}

const textsOf = (scene: Scene) =>
  [...nodesOf(scene.nodes)].flatMap((node) => (node.type === "text" ? [node.text] : []));

const tokens = (length: number) => Array.from({ length }, (_, i) => i % 61);

function* nodesOf(nodes: readonly SceneNode[]): Generator<SceneNode> {
  for (const node of nodes) {
    yield node;
    if (node.type === "group") yield* nodesOf(node.children);
  }
}

/** Rectangles that stand for rows of tensors. */
function rowsIn(scene: Scene): (SceneRect & { rows: NonNullable<SceneRect["rows"]> })[] {
  return [...nodesOf(scene.nodes)].filter(
    (node): node is SceneRect & { rows: NonNullable<SceneRect["rows"]> } =>
      node.type === "rect" && node.rows !== undefined,
  );
}

describe("figures of traces", () => {
  const gpt2Passes = fc
    .record({
      layers: fc.integer({ min: 1, max: 4 }),
      length: fc.integer({ min: 1, max: 40 }),
      cachedShare: fc.double({ min: 0, max: 1, noNaN: true }),
      layerShare: fc.double({ min: 0, max: 0.999, noNaN: true }),
    })
    .map(({ layers, length, cachedShare, layerShare }) => ({
      layer: Math.floor(layerShare * layers),
      trace: traceForward(config(layers), {
        tokens: tokens(length),
        numCachedTokens: Math.floor(cachedShare * (length - 1)),
      }),
    }));

  const anyPasses = fc
    .record({
      decoder: fc.oneof(decoderSpecs, fc.constantFrom(...Object.values(FAMILY_SPECS))),
      logits: fc.constantFrom("all", "last"),
      lengthShare: fc.double({ min: 0, max: 1, noNaN: true }),
      cachedShare: fc.double({ min: 0, max: 1, noNaN: true }),
      layerShare: fc.double({ min: 0, max: 0.999, noNaN: true }),
    })
    .map(({ decoder, logits, lengthShare, cachedShare, layerShare }) => {
      const length = 1 + Math.floor(lengthShare * (Math.min(40, decoder.contextLength) - 1));
      const numCachedTokens = Math.floor(cachedShare * (length - 1));
      return {
        layer: Math.floor(layerShare * decoder.layers.length),
        trace: plainTrace(decoder, { tokens: Array(length).fill(0), numCachedTokens, logits }),
      };
    });
  const passes = fc.oneof(gpt2Passes, anyPasses);

  it("mark the last row and what the trace says it needs, nothing else", () => {
    fc.assert(
      fc.property(passes, ({ layer, trace }) => {
        const { tensor: logits, row: lastRow } = lastLogits(trace);
        const needed = ancestors(trace, logits, lastRow, ({ operation }) =>
          /^(keys|values)$/.test(operation),
        );
        for (const scene of [inferenceFigure(trace, { layer }), attentionFigure(trace, { layer })]) {
          for (const { rows, role } of rowsIn(scene)) {
            const tensor = trace.tensors[rows.tensor];
            expect(tensor.name).toBe(rows.name);
            if (role === "masked") continue;
            const position = (tensor.firstPosition ?? 0) + rows.to - 1;
            const isCached = position < trace.numCachedTokens;
            // Of K and V what left the window may be gone.
            const isMade = tensor.sources.some(({ from, to }) => to[rows.to - 1] > from[rows.to - 1]);
            const expected = !needed.has(tensor.id, rows.to - 1)
              ? isMade
                ? "row"
                : "absent"
              : position === trace.tokens.length - 1
                ? "lastRow"
                : isCached
                  ? "cached"
                  : "needed";
            expect(role, `${rows.name} ${rows.from}…${rows.to - 1}`).toBe(expected);
          }
        }
      }),
      { numRuns: 100 },
    );
  });

  it("mask the scores of later positions, and only those", () => {
    const trace = traceForward(config(1), { tokens: tokens(5) });
    const scores = rowsIn(attentionFigure(trace)).filter(({ rows }) => rows.name === "h.0.attn.scores");
    const masked = Array.from(
      { length: 5 },
      (_, query) => scores.filter(({ rows, role }) => rows.from === query && role === "masked").length,
    );
    expect(masked).toEqual([4, 3, 2, 1, 0]);
    expect(scores).toHaveLength(25);
  });

  it("stay inside their frame, and show every row of a short sequence", () => {
    fc.assert(
      fc.property(passes, ({ layer, trace }) => {
        for (const scene of [inferenceFigure(trace, { layer }), attentionFigure(trace, { layer })]) {
          for (const node of nodesOf(scene.nodes)) {
            if (node.type !== "rect") continue;
            expect(node.x).toBeGreaterThanOrEqual(0);
            expect(node.y).toBeGreaterThanOrEqual(0);
            expect(node.x + node.width).toBeLessThanOrEqual(scene.width);
            expect(node.y + node.height).toBeLessThanOrEqual(scene.height);
          }
          const tensor = trace.tensors.find((made) => made.operation === "keys" && made.layer === layer);
          const keys = rowsIn(scene).filter(({ rows }) => rows.tensor === tensor?.id);
          const shown = keys.reduce((sum, { rows }) => sum + rows.to - rows.from, 0);
          expect(shown).toBe(trace.tokens.length);
        }
      }),
      { numRuns: 80 },
    );
  });
});

describe("figures of families", () => {
  it("show norms, rotations, gates, heads that share and windows, as the layer has them", () => {
    const pass = { tokens: Array(40).fill(1), numCachedTokens: 39 };
    const gemma = plainTrace(FAMILY_SPECS.gemma3, pass);
    const words = textsOf(inferenceFigure(gemma));
    const expected = [
      "queryNorm, keyNorm",
      "rotation",
      "gelu_pytorch_tanh(gate) · up",
      "gate",
      "up",
      "scale",
      "cap",
    ];
    for (const text of [...expected, "4 heads share 2 of K and V", "a window of 16 rows"]) {
      expect(words).toContain(text);
    }
    const inside = textsOf(attentionFigure(gemma));
    expect(inside).toContain("cap, mask, softmax");
    expect(inside).toContain("masked: out of the window");
    // The last layer sees everything, in another rotation.
    expect(textsOf(attentionFigure(gemma, { layer: 2 }))).toContain("cap, softmax");
    expect(textsOf(inferenceFigure(gemma, { layer: 2 })).join()).not.toContain("window");
    const gone = rowsIn(attentionFigure(gemma)).filter(({ role }) => role === "absent");
    expect(new Set(gone.map(({ rows }) => rows.to <= 40 - 16))).toEqual(new Set([true]));

    // What is drawn as one lies on one side of the window's end.
    const across = rowsIn(inferenceFigure(gemma)).filter(({ rows }) => rows.from < 24 && rows.to > 24);
    expect(across).toEqual([]);

    const plain = textsOf(inferenceFigure(plainTrace(FAMILY_SPECS.gpt2, pass)));
    expect(plain.join()).not.toMatch(/rotation|gate|share|window|scale|cap/);
  });

  it("add what attention gives before the MLP reads, or behind it where both read the same", () => {
    const drawn = (name: FamilySpecName) => {
      const trace = plainTrace(FAMILY_SPECS[name], { tokens: [1, 2, 3] });
      const adds = trace.tensors.filter(({ layer, operation }) => layer === 0 && operation === "add");
      const shown = new Set(rowsIn(inferenceFigure(trace)).map(({ rows }) => rows.tensor));
      return adds.map(({ id }) => shown.has(id));
    };
    expect(drawn("llama")).toEqual([true, true]);
    expect(drawn("olmo2")).toEqual([true, true]);
    // The first sum is what the circle behind the MLP is given, not a tensor that anything reads by itself.
    expect(drawn("gptNeox")).toEqual([false, true]);
    expect(drawn("stableLm")).toEqual([false, true]);
  });
});

describe("renderSvg", () => {
  it("escapes texts, and leaves out what no XML may hold", () => {
    const trace = traceForward(config(1), { tokens: [1, 2] });
    const svg = renderSvg(inferenceFigure(trace, { tokenTexts: ['<&">', "\u0000\ud800a"] }));
    expect(svg).toContain("&lt;&amp;&quot;&gt;");
    expect(svg).toContain("\ufffd\ufffda");
    expect(svg).not.toContain("\u0000");
  });

  it("keeps several figures in one page apart by their prefix", () => {
    const scene = inferenceFigure(traceForward(config(1), { tokens: [1, 2] }));
    const svg = renderSvg(scene, { prefix: "left", theme: "dark" });
    expect(svg).not.toContain("lr-");
    expect(svg).not.toContain("@media");
    expect(svg).toContain('id="left-arrow"');
  });

  it("escapes the prefix wherever it stands, and keeps different ones different", () => {
    const scene = inferenceFigure(traceForward(config(1), { tokens: [1, 2] }));
    const hostile = '"><script>alert(1)</script>} * { display: none';
    const svg = renderSvg(scene, { prefix: hostile });
    const plain = renderSvg(scene, { prefix: "plain" });
    for (const mark of ["<script", "alert(1)", "display: none"]) expect(svg).not.toContain(mark);
    const tags = (text: string) => text.match(/<\/?\w+/g);
    expect(tags(svg)).toEqual(tags(plain));
    const arrows = ["a b", "a_b", "a.b", "1", "_31_", "é"].map(
      (prefix) => /<marker id="([\w-]+)-arrow"/.exec(renderSvg(scene, { prefix }))?.[1],
    );
    expect(new Set(arrows).size).toBe(6);
    expect(arrows.every((name) => /^[A-Za-z_][\w-]*$/.test(name ?? ""))).toBe(true);
  });
});
