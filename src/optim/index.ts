export { AdamW, decayGroups, type AdamWOptions, type ParameterGroup } from "./adamw.js";
export { clipDivisor } from "./clipping.js";
export { schedule, schedulerTypes, type Schedule, type SchedulerType } from "./schedule.js";
