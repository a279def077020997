package controlplane

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
)

// A Tier is what a control plane is to stand. The zero value is what one stands that nothing is
// provisioned for, and adds nothing to its files: those that run from before a tier was known
// go on.
type Tier struct {
	Seats         int   // requests that the API server works on at a time
	PodsPerSecond int   // that are made and find their nodes
	Database      int64 // bytes that etcd holds
}

// StandardDatabase is how many bytes etcd holds where Tier.Database does not say.
const StandardDatabase = 8 << 30

// The API server has as many seats as it may have requests of both kinds in flight; by default it
// is twice as many that read as that write.
func (t Tier) apiServerFlags() []string {
	if t.Seats == 0 {
		return nil
	}
	writing := t.Seats / 3
	return []string{"--max-requests-inflight=" + strconv.Itoa(t.Seats-writing), "--max-mutating-requests-inflight=" + strconv.Itoa(writing)}
}

// schedulerFlags let the scheduler bind so many pods: each is one request.
func (t Tier) schedulerFlags() []string { return queryFlags(max(t.PodsPerSecond, 100)) }

// controllerFlags let a controller make as many pods as are scheduled, and write down that it did.
func (t Tier) controllerFlags() []string { return queryFlags(max(2*t.PodsPerSecond, 100)) }

func queryFlags(qps int) []string {
	return []string{fmt.Sprintf("--kube-api-qps=%d", qps), fmt.Sprintf("--kube-api-burst=%d", 2*qps)}
}

// DataSize is how many bytes the database of the control plane in dir has on disk, which is
// what etcd holds against its limit. One that has none yet has 0.
func (p *Planes) DataSize(dir string) (int64, error) {
	info, err := os.Stat(filepath.Join(dir, "etcd", "member", "snap", "db"))
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("size of the data of control plane %s: %w", dir, err)
	}
	return info.Size(), nil
}
