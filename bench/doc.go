// Command bench measures what Ekster promises, against floors measured in the same run.
//
//	go run ./bench [-only 1,5] [-runs 5] [-out bench/results.json] [-strict]
//
//	1  CreateCluster to ACTIVE, namespaces listed   floor: etcd and kube-apiserver to /readyz
//	2  CreateNodegroup to Ready nodes               floor: containerd and kubelet to Ready
//	3  memory of an idle control plane              beside it: the four processes apart
//	4  the daemon: start to first answer, memory    (limits alone)
//	5  requests a second, signed and verified       beside it: a Go server that checks nothing
//	6  ten clusters at once                         (time and memory alone)
//	7  machines without a kubelet: boot, end, 50 at once  (limits alone)
//	8  TCP between pods on two nodes                floor: one veth pair between two namespaces
//	9  an authorization decision over twenty policies      (limits alone)
//	10 UpdateClusterVersion to ACTIVE                      floor: CreateCluster, in turns with it
//
// The floors are upstream's own programs from the payload, started in the plainest way
// (floor.go, nodefloor.go). A floor and what stands on it take turns, so that a machine that
// drifts drifts for both; figures are medians. Memory is proportional set size, and what is
// compared shares no pages. It needs root and a built bin/ekster, takes some minutes, and
// leaves nothing behind (package test/lab).
//
// It asserts nothing about correctness: package test does.
package main
