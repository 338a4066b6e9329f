/** What the container is made of and listens to, as the Dockerfile says it. */
import { readFileSync } from "node:fs";
import { expect, test } from "vitest";

const read = (name: string) => readFileSync(new URL(`../../${name}`, import.meta.url), "utf8");
const dockerfile = read("Dockerfile");

test("it is not open to all unless somebody says so", () => {
  const started = dockerfile.split("\n").filter((line) => /^(ENTRYPOINT|CMD|ENV)/.test(line));
  expect(started.join("\n")).toContain('"serve"');
  expect(started.join("\n")).not.toMatch(/0\.0\.0\.0|--insecure|"::"/);
});

test("its images are named by their full version", () => {
  const images = [...dockerfile.matchAll(/^FROM (\S+)/gm)].map(([, image]) => image);
  expect(images.length).toBe(2);
  for (const image of images) expect(image).toMatch(/^node:\d+\.\d+\.\d+-slim$/);
});

test("what it runs on is without TypeScript", () => {
  const { packages } = JSON.parse(read("package-lock.json"));
  const { dev, devOptional, optional, peer } = packages["node_modules/typescript"];
  // npm leaves these out where both kinds are, and only there.
  expect(dev === true || (devOptional === true && optional !== true && peer !== true)).toBe(true);
  expect(dockerfile).toMatch(/npm prune --omit=dev --omit=optional/);
});

test("it has the client of a tier in Redis, where lastrow finds it", () => {
  expect(dockerfile).toMatch(
    /npm install --prefix \/peers .*"ioredis@\$\(node -p .*devDependencies\.ioredis.*\)"/,
  );
  expect(dockerfile).toContain("COPY --from=build /peers/node_modules /node_modules");
  expect(JSON.parse(read("package.json"))).toMatchObject({
    peerDependencies: { ioredis: "^6.0.0" },
    peerDependenciesMeta: { ioredis: { optional: true } },
    devDependencies: { ioredis: expect.stringMatching(/^6\./) },
  });
});
