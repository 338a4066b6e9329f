import { describe, expect, test } from "vitest";
import { MeasuredStepCosts } from "./step-costs.js";

function measured(times: Readonly<Record<number, number>>, sequences = 1): MeasuredStepCosts {
  const costs = new MeasuredStepCosts();
  for (const [rows, ms] of Object.entries(times)) costs.observe(sequences, Number(rows), ms);
  return costs;
}

describe("MeasuredStepCosts", () => {
  test("a plain step is due until one was measured, and again after 64 others", () => {
    const costs = new MeasuredStepCosts();
    expect(costs.of(1, 0)).toBeNull();
    costs.observe(1, 1, 2);
    expect(costs.of(1, 0)).toBe(2);
    for (let i = 0; i < 63; i++) costs.observe(1, 5, 3);
    expect(costs.of(1, 0)).toBe(2);
    costs.observe(1, 5, 3);
    expect(costs.of(1, 0)).toBeNull();
    costs.observe(1, 1, 4);
    expect(costs.of(1, 0)).toBe(2);
  });

  test("between what was measured, and beyond it, rows cost what they cost on the whole", () => {
    const costs = measured({ 1: 10, 3: 14, 9: 20 });
    expect([1, 2, 3, 4, 5, 8, 10].map((more) => costs.of(1, more))).toEqual([12, 14, 15, 16, 17, 20, 22.5]);
  });

  test("where only one kind of step was measured, a row is taken for a quarter of the first", () => {
    expect(measured({ 1: 10 }).of(1, 4)).toBe(20);
    expect(measured({ 5: 20 }).of(1, 1)).toBe(12.5);
    expect(new MeasuredStepCosts().of(1, 4)).toBe(2);
  });

  test("what was slower than equal steps of late was disturbed", () => {
    const costs = new MeasuredStepCosts();
    for (const ms of [10, 30, 11, 50, 12]) costs.observe(1, 1, ms);
    expect(costs.of(1, 0)).toBe(10);
    // The fastest is long past.
    for (const ms of [13, 14, 13]) costs.observe(1, 1, ms);
    expect(costs.of(1, 0)).toBe(12);
  });

  test("a time that was measured once is forgotten soon, and later the more often it was measured", () => {
    const costs = new MeasuredStepCosts();
    const wait = (steps: number) => {
      for (let i = 0; i < steps; i++) costs.observe(1, 1, 10);
    };
    wait(1);
    costs.observe(1, 5, 100);
    wait(15);
    expect(costs.of(1, 4)).toBe(100);
    wait(1);
    expect(costs.of(1, 4)).toBe(20);
    costs.observe(1, 5, 100);
    wait(31);
    expect(costs.of(1, 4)).toBe(100);
    wait(1);
    expect(costs.of(1, 4)).toBe(20);
    for (let i = 0; i < 10; i++) costs.observe(1, 5, 100);
    wait(255);
    expect(costs.of(1, 4)).toBe(100);
    wait(1);
    expect(costs.of(1, 4)).toBe(20);
  });

  test("steps of several sequences are another kind, by all their rows", () => {
    const costs = measured({ 4: 40, 8: 60 }, 4);
    expect([costs.of(4, 0), costs.of(4, 2), costs.of(8, 0), costs.of(6, 0)]).toEqual([40, 50, 60, null]);
    expect(costs.of(1, 0)).toBeNull();
  });

  test("steps of more rows than are measured are estimated", () => {
    const costs = measured({ 1: 10, 101: 110 });
    costs.observe(1, 500, 1);
    expect(costs.of(1, 299)).toBe(309);
  });
});
