import { expect, test } from "vitest";
import { memoryFiles } from "../../test/memory-files.js";
import { FilesAhead } from "./files-ahead.js";
import { readText } from "./model-files.js";

const LARGE = "l".repeat(2 * 1024 * 1024 + 1);

function folder() {
  const files = memoryFiles("m", { "a.json": "A", "b.json": "B", "large.json": LARGE });
  const asked: string[] = [];
  const counting = {
    ...{ label: "m", asked },
    open(name: string) {
      asked.push(name);
      return files.open(name);
    },
    openFiles: () => files.openFiles,
  };
  return counting;
}

test("every file is opened at once, and once", async () => {
  const files = folder();
  const ahead = new FilesAhead(files, ["a.json", "missing.json", "large.json"]);
  expect(files.asked).toEqual(["a.json", "missing.json", "large.json"]);
  expect(await readText(ahead, "a.json")).toEqual({ name: "a.json", text: "A" });
  expect(await ahead.open("missing.json")).toBeNull();
  expect((await readText(ahead, "large.json"))?.text).toBe(LARGE);
  expect(files.asked).toHaveLength(3);
  // Others, and the same again, when they are asked for.
  expect((await readText(ahead, "b.json"))?.text).toBe("B");
  expect((await readText(ahead, "a.json"))?.text).toBe("A");
  expect(files.asked.slice(3)).toEqual(["b.json", "a.json"]);
  expect(files.openFiles()).toEqual([]);
});

test("one that turns out to be needed is opened then, and once", async () => {
  const files = folder();
  const ahead = new FilesAhead(files, ["a.json"]);
  ahead.begin("large.json");
  expect(files.asked).toEqual(["a.json", "large.json"]);
  expect((await readText(ahead, "large.json"))?.text).toBe(LARGE);
  expect(files.asked).toHaveLength(2);
  ahead.begin("b.json");
  await ahead.close();
  expect(files.openFiles()).toEqual([]);
});

test("whether there is one can be asked first, and it is opened once", async () => {
  const files = folder();
  const ahead = new FilesAhead(files, ["a.json", "missing.json"]);
  const names = ["a.json", "b.json", "missing.json", "gone.json"];
  expect(await Promise.all(names.map((name) => ahead.has(name)))).toEqual([true, true, false, false]);
  expect(await ahead.has("b.json")).toBe(true);
  expect((await readText(ahead, "b.json"))?.text).toBe("B");
  expect(await ahead.open("gone.json")).toBeNull();
  expect(files.asked.sort()).toEqual(names.toSorted());
  await ahead.close();
  expect(files.openFiles()).toEqual([]);
});

test("a small file is read before it is asked for, a large one is not", async () => {
  const read: string[] = [];
  const file = (name: string, size: number) => ({
    ...{ name, size, close: async () => undefined },
    async read() {
      read.push(name);
    },
  });
  const sizes = new Map([
    ["small", 2 * 1024 * 1024],
    ["large", LARGE.length],
  ]);
  const open = async (name: string) => file(name, sizes.get(name)!);
  const ahead = new FilesAhead({ label: "m", open }, ["large", "small"]);
  await ahead.open("small");
  await ahead.open("large");
  expect(read).toEqual(["small"]);
});

test("what was not asked for is closed", async () => {
  const files = folder();
  const ahead = new FilesAhead(files, ["a.json", "b.json", "large.json", "missing.json"]);
  await readText(ahead, "b.json");
  expect(files.openFiles()).toEqual(["a.json", "large.json"]);
  await ahead.close();
  await ahead.close();
  expect(files.openFiles()).toEqual([]);
});

test("what is wrong with a file is told when it is asked for, and no sooner", async () => {
  const broken = { name: "m", size: 3, close: async () => undefined };
  const ahead = new FilesAhead(
    {
      label: "m",
      async open(name) {
        if (name === "gone.json") throw new Error("gone");
        return { ...broken, read: () => Promise.reject(new Error("cut off")) };
      },
    },
    ["gone.json", "cut.json", "unused.json"],
  );
  await new Promise((resolve) => setTimeout(resolve));
  await expect(readText(ahead, "cut.json")).rejects.toThrow("cut off");
  await expect(ahead.open("gone.json")).rejects.toThrow("gone");
  await ahead.close();
});
