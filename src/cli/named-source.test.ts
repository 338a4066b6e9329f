import { expect, test } from "vitest";
import { modelsOf, namedSource } from "./named-source.js";

test.each([
  ["chat=Qwen/Qwen3-0.6B", "chat", "Qwen/Qwen3-0.6B"],
  ["qwen3:0.6b=./models/qwen", "qwen3:0.6b", "./models/qwen"],
  ["org/name=https://models.example/x?a=b", "org/name", "https://models.example/x?a=b"],
  ["größer=a", "größer", "a"],
  ["chat=", "chat", ""],
  // No name is meant here.
  ["Qwen/Qwen3-0.6B", null, "Qwen/Qwen3-0.6B"],
  ["./a=b", null, "./a=b"],
  ["/models/a=b", null, "/models/a=b"],
  ["~/a=b", null, "~/a=b"],
  ["https://models.example/x?a=b", null, "https://models.example/x?a=b"],
  ["file:///a=b", null, "file:///a=b"],
  ["C:\\a=b", null, "C:\\a=b"],
  ["org/model@a=b", null, "org/model@a=b"],
  ["=a", null, "=a"],
])("%s is called %s and lies at %s", (text, id, source) => expect(namedSource(text)).toEqual({ id, source }));

test("one is a model, several are models under their names", () => {
  const of = (texts: readonly string[], name?: string) => modelsOf(texts.map(namedSource), name);
  expect(of([])).toEqual({ model: undefined, servedModelName: undefined });
  expect(of(["a/b"], "c")).toEqual({ model: "a/b", servedModelName: "c" });
  expect(of(["c=a/b"])).toEqual({ model: "a/b", servedModelName: "c" });
  expect(of(["a/b", "./x/folder/", "c=a/b"])).toEqual({
    models: { "a/b": "a/b", folder: "./x/folder/", c: "a/b" },
    servedModelName: undefined,
  });
  expect(() => of(["c=a/b"], "d")).toThrow(/two names/);
  expect(() => of(["./x/m", "./y/m"])).toThrow(
    /Two models are called .m.; give one another name, as in --model other=\.\/y\/m/,
  );
  expect(() => of(["a", "c="])).toThrow(/--model c= has no model behind the name/);
});
