export { AdamW, decayGroups, type AdamWOptions, type ParameterGroup } from "./adamw.js";
export { clipDivisor } from "./clipping.js";
export { learningRate, type LearningRate } from "./learning_rate.js";
export { ReduceLROnPlateau, type PlateauState } from "./plateau.js";
export {
  requireWarmup,
  schedule,
  type PlannedSchedulerType,
  type Schedule,
  type ScheduleOptions,
} from "./schedule.js";
export { scheduleKwargs, schedulerTypes, type SchedulerType } from "./schedule_kwargs.js";
