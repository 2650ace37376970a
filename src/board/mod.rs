//! What is true now: pods, DaemonSets, this node and Events, as Kubernetes objects with a resource version.
//!
//! Written by the owners of each fact (the agent, the pod workers), read and watched by `api`. The board decides nothing and
//! does no I/O; it never hands out a lock.
