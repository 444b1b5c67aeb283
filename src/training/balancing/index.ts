export { BalancedMixture, type BalancedMixtureOptions, type Balancer } from "./balanced_mixture.js";
export { GradNormBalancer } from "./gradnorm.js";
export { LossScaleBalancer } from "./loss_scale.js";
export { PCGradBalancer } from "./pcgrad.js";
export { UncertaintyBalancer } from "./uncertainty.js";
