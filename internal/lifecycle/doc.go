// Package lifecycle holds the test of whole lives: random sequences of EKS's operations, sent by
// the AWS SDK through the front door to the real services and the real controllers, which
// work on a host that is only played.
//
//	a seed ─▶ operations ─▶ AWS SDK ─▶ front door, services ─▶ store ◀─▶ controllers ─▶ host
//	              │                                              │                  (fakes with
//	              ▼                                              ▼                    knobs)
//	     what EKS answers in          the states that every commit shows: only those that
//	     this state (answers.go)      EKS has, by ways that EKS goes (machines.go)
//
// In one of ten the daemon dies at one of the store's commits, and another one goes on with the
// same store and the same host. Every life comes to rest in final states, and leaves
// nothing behind once everything in it is deleted.
//
//	go test ./internal/lifecycle -seed 17 -lives 1    one that failed, again
//
// It plays no Kubernetes: what depends on a real API server or a real kubelet is tested in the
// packages of the controllers, and whole in test/.
package lifecycle
