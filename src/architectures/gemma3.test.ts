import { describe, expect, it } from "vitest";
import { familyConfig, readConfig, refusalOf } from "../../test/config-texts.js";

/** The text config is what transformers wrote of a model of text. */
const text = familyConfig("gemma3");
const whole = (fields: Record<string, unknown> = {}) => ({
  ...{ architectures: ["Gemma3ForConditionalGeneration"], model_type: "gemma3" },
  ...{ vision_config: { model_type: "siglip_vision_model", hidden_size: 1152 }, mm_tokens_per_image: 256 },
  ...{ text_config: text, ...fields },
});

describe("the text model of a Gemma 3 that reads images", () => {
  it("is that of text_config", async () => {
    const expected = await readConfig(text);
    expect(expected.modelType).toBe("gemma3_text");
    expect(await readConfig(whole())).toEqual({ ...expected, modelType: "gemma3" });
  });

  it("is all defaults without one", async () => {
    const expected = await readConfig({ model_type: "gemma3_text" });
    for (const text_config of [undefined, null, {}, { model_type: "gemma3_text" }]) {
      expect(await readConfig(whole({ text_config }))).toEqual({ ...expected, modelType: "gemma3" });
    }
  });

  it("has the tokens and the head that the whole file states, and otherwise its own", async () => {
    const inner = { ...text, eos_token_id: 7, bos_token_id: 3, tie_word_embeddings: true };
    expect(await readConfig(whole({ text_config: inner }))).toMatchObject({
      ...{ bosTokenId: 3, eosTokenIds: [7], tieWordEmbeddings: true },
    });
    const outer = { eos_token_id: [1, 100], bos_token_id: 2, tie_word_embeddings: false };
    expect(await readConfig(whole({ text_config: inner, ...outer }))).toMatchObject({
      ...{ bosTokenId: 2, eosTokenIds: [1, 100], tieWordEmbeddings: false },
    });
  });

  it.each([
    [{ text_config: [] }, "model_file_invalid: config.json: text_config is [], but must be an object."],
    [
      { text_config: "gemma3_text" },
      'model_file_invalid: config.json: text_config is "gemma3_text", but must be an object.',
    ],
    [
      { text_config: { model_type: "gemma2" } },
      'model_unsupported: config.json: text_config has the model_type "gemma2"; in a gemma3, "gemma3_text" is run.',
    ],
    [
      { text_config: { ...text, hidden_size: 0 } },
      "hidden_size is 0, but must be a whole number from 1 to 15625.",
    ],
    [
      { text_config: { ...text, use_bidirectional_attention: true } },
      "use_bidirectional_attention is true; ",
    ],
    [{ quantization_config: {} }, "config.json has a quantization_config; "],
    [{ text_config: { ...text, quantization_config: {} } }, "config.json has a quantization_config; "],
  ])("refuses %j", async (fields, message) => {
    expect(await refusalOf(whole(fields))).toContain(message);
  });

  it("is loaded with the context that is asked for", async () => {
    expect(await readConfig(whole(), { contextLength: 20 })).toMatchObject({
      ...{ contextLength: 20, maxContextLength: 96 },
    });
  });
});
