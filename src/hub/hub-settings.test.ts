import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir, userInfo } from "node:os";
import { join, resolve } from "node:path";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { readHubSettings } from "./hub-settings.js";

// What Node's gives where HOME is empty.
vi.mock("node:os", async (original) => ({
  ...(await original<typeof import("node:os")>()),
  homedir: () => "",
}));

let home: string;
beforeEach(async () => {
  home = await mkdtemp(join(tmpdir(), "lastrow-settings-"));
});
afterEach(() => rm(home, { recursive: true }));

const settings = (env: Record<string, string>) => readHubSettings({ HOME: home, USERPROFILE: home, ...env });
const cacheOf = async (env: Record<string, string>) => (await settings(env)).cacheFolder;
const tokenOf = async (env: Record<string, string>) => (await settings(env)).token;
const invalid = (text: string) =>
  expect.objectContaining({ code: "invalid_argument", message: expect.stringContaining(text) });

it("has defaults", async () => {
  expect(await settings({ HF_TOKEN: "", HF_ENDPOINT: "", HF_HUB_OFFLINE: "" })).toEqual({
    endpoint: "https://huggingface.co",
    token: null,
    cacheFolder: join(home, ".cache", "huggingface", "hub"),
    offline: false,
    timeoutMs: 30_000,
  });
});

it("finds the cache folder where Python does", async () => {
  const all = {
    HF_HUB_CACHE: "/a",
    HUGGINGFACE_HUB_CACHE: "/b",
    HF_HOME: "/c",
    XDG_CACHE_HOME: "/d",
  };
  expect(await cacheOf(all)).toBe(resolve("/a"));
  expect(await cacheOf({ ...all, HF_HUB_CACHE: "" })).toBe(resolve("/b"));
  expect(await cacheOf({ HF_HOME: "/c", XDG_CACHE_HOME: "/d" })).toBe(resolve("/c/hub"));
  expect(await cacheOf({ XDG_CACHE_HOME: "/d" })).toBe(resolve("/d/huggingface/hub"));
  expect(await cacheOf({ HF_HOME: "~/hf" })).toBe(join(home, "hf", "hub"));
  expect(await cacheOf({ HF_HUB_CACHE: "relative" })).toBe(resolve("relative"));
});

it("takes an empty HOME for none: the cache folder is in the user's home as the system knows it", async () => {
  const { cacheFolder } = await readHubSettings({ HOME: "", USERPROFILE: "" });
  expect(cacheFolder).toBe(join(userInfo().homedir, ".cache", "huggingface", "hub"));
});

describe("token", () => {
  it("comes from HF_TOKEN, then the older variable, then the file", async () => {
    await writeFile(join(home, "token"), "from-home\n");
    await writeFile(join(home, "other"), " from-path \n");
    const all = { HF_TOKEN: " hf_1\n", HUGGING_FACE_HUB_TOKEN: "hf_2", HF_HOME: home };
    expect(await tokenOf(all)).toBe("hf_1");
    expect(await tokenOf({ ...all, HF_TOKEN: "" })).toBe("hf_2");
    expect(await tokenOf({ HF_HOME: home })).toBe("from-home");
    expect(await tokenOf({ HF_HOME: home, HF_TOKEN_PATH: join(home, "other") })).toBe("from-path");
    expect(await tokenOf({ ...all, HF_HUB_DISABLE_IMPLICIT_TOKEN: "1" })).toBeNull();
  });

  it("is never shown when it cannot be one", async () => {
    const secret = "hf_se cret";
    await expect(settings({ HF_TOKEN: secret })).rejects.toThrow(invalid("HF_TOKEN holds no Hub token"));
    await expect(settings({ HF_TOKEN: secret })).rejects.not.toThrow(
      expect.objectContaining({ message: expect.stringContaining("cret") }),
    );
  });

  it("names a token file that cannot be read", async () => {
    await expect(settings({ HF_TOKEN_PATH: home })).rejects.toThrow(invalid(home));
  });
});

it.each(["1", "true", "YES", "On"])("is offline with %s", async (value) => {
  expect((await settings({ HF_HUB_OFFLINE: value })).offline).toBe(true);
  expect((await settings({ TRANSFORMERS_OFFLINE: value })).offline).toBe(true);
});

it.each(["0", "false", "no", "2"])("is online with %s", async (value) => {
  expect((await settings({ HF_HUB_OFFLINE: value })).offline).toBe(false);
});

it("takes an endpoint without the slash at its end", async () => {
  expect((await settings({ HF_ENDPOINT: "http://host:8080/hub//" })).endpoint).toBe("http://host:8080/hub");
});

it.each(["host", "ftp://host", "https://me:secret@host", "https://host?secret", "https://host#secret"])(
  "refuses the endpoint %s without showing it",
  async (endpoint) => {
    const error = await settings({ HF_ENDPOINT: endpoint }).catch((thrown: unknown) => thrown);
    expect(error).toEqual(invalid("HF_ENDPOINT"));
    expect(String(error)).not.toContain("secret");
  },
);

it("takes a time limit in seconds", async () => {
  expect((await settings({ HF_HUB_DOWNLOAD_TIMEOUT: "2.5" })).timeoutMs).toBe(2500);
  for (const value of ["0", "-1", "x", "1e9", "NaN"]) {
    await expect(settings({ HF_HUB_DOWNLOAD_TIMEOUT: value })).rejects.toThrow(
      invalid("HF_HUB_DOWNLOAD_TIMEOUT"),
    );
  }
});
