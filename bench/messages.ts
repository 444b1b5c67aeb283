/** @file What the two sides of the line protocol say; bench/peers/peer.py describes it. */
import { z } from "zod";

const about = z.object({
  import_seconds: z.number(),
  load_seconds: z.number(),
  versions: z.record(z.string(), z.string().nullable()),
  settings: z.record(z.string(), z.unknown()),
});

export const readyMessage = about.extend({ ready: z.literal(true) });

export const stepMessage = z.object({
  seconds: z.number().positive(),
  cpu_seconds: z.number(),
  loss: z.number().optional(),
  tokens_per_second: z.number().optional(),
  empty_rss_bytes: z.number().optional(),
  held: z.number().optional(),
});

export const onceMessage = stepMessage.extend({ ...about.shape, peak_rss_bytes: z.number() });

export const doneMessage = z.object({ done: z.literal(true), peak_rss_bytes: z.number() });

export type ReadyMessage = z.infer<typeof readyMessage>;
export type StepMessage = z.infer<typeof stepMessage>;
export type OnceMessage = z.infer<typeof onceMessage>;
