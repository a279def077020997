package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/ec2"
	ec2types "github.com/aws/aws-sdk-go-v2/service/ec2/types"
	"github.com/aws/aws-sdk-go-v2/service/ssm"

	"ekster.dev/ekster/test/lab"
)

// crowd is how many machines run at once in figure 7.
const crowd = 50

// machineTime is figure 7: machines without a kubelet, one after another and many at once.
func (r *run) machineTime(ctx context.Context) error {
	return withDaemon(ctx, func(d *lab.Daemon, cloud *lab.Cloud) error {
		image, err := cloud.SSM.GetParameter(ctx, &ssm.GetParameterInput{Name: new("/aws/service/eks/optimized-ami/" + r.version + "/amazon-linux-2023/x86_64/standard/recommended/image_id")})
		if err != nil {
			return err
		}
		m := machines{d: d, cloud: cloud, image: *image.Parameter.Value}
		if m.prefix, err = d.Prefix(); err != nil {
			return err
		}
		var boots, ends []float64
		for i := range r.runs + 1 {
			ids, took, err := m.launch(ctx, 1)
			if err != nil {
				return err
			}
			end, err := m.terminate(ctx, ids)
			if err != nil {
				return err
			}
			if i > 0 { // the first warms the page cache, and makes the VPC
				boots, ends = append(boots, took*1000), append(ends, end*1000)
			}
		}
		r.report.atMost(line{Figure: "7", What: "RunInstances to init running", Unit: "ms", Value: median(boots), Samples: boots, Note: "by the machine's own console"}, 400)
		r.report.atMost(line{Figure: "7", What: "TerminateInstances to nothing left", Unit: "ms", Value: median(ends), Samples: ends,
			Note: "process, namespace, cgroups, disk"}, 1000)
		return m.crowd(ctx, r)
	})
}

// machines launches and ends instances.
type machines struct {
	d      *lab.Daemon
	cloud  *lab.Cloud
	image  string
	prefix string
}

func (m machines) crowd(ctx context.Context, r *run) error {
	before, err := available()
	if err != nil {
		return err
	}
	ids, took, err := m.launch(ctx, crowd)
	if err != nil {
		return err
	}
	var pids []int
	for _, id := range ids {
		pid, err := m.d.InstancePID(id)
		if err != nil {
			return err
		}
		pids = append(pids, pid)
	}
	all, err := measureMemory(pids...)
	if err != nil {
		return err
	}
	after, err := available()
	if err != nil {
		return err
	}
	end, err := m.terminate(ctx, ids)
	if err != nil {
		return err
	}
	r.report.add(line{Figure: "7", What: fmt.Sprintf("RunInstances of %d to the last init running", crowd), Unit: "s", Value: took})
	r.report.add(line{Figure: "7", What: "memory of one of them, PSS", Unit: "MiB", Value: all.pss / crowd})
	r.report.add(line{Figure: "7", What: "the same of the host's available memory", Unit: "MiB", Value: (before - after) / crowd, Note: "with its namespaces, cgroups and disk"})
	r.report.add(line{Figure: "7", What: fmt.Sprintf("TerminateInstances of %d to nothing left", crowd), Unit: "s", Value: end})
	return nil
}

// launch runs n instances and returns the seconds until the last one's init ran.
func (m machines) launch(ctx context.Context, n int32) (ids []string, took float64, err error) {
	began := time.Now()
	out, err := m.cloud.EC2.RunInstances(ctx, &ec2.RunInstancesInput{ImageId: &m.image, InstanceType: ec2types.InstanceTypeT3Nano, MinCount: &n, MaxCount: &n})
	if err != nil {
		return nil, 0, err
	}
	for _, i := range out.Instances {
		ids = append(ids, *i.InstanceId)
	}
	for _, id := range ids {
		var at time.Time
		err := lab.Promptly(ctx, time.Minute, "init of "+id, func(context.Context) (bool, string, error) {
			at, err = initRan(filepath.Join(m.d.State, "instances", id, "console.log"))
			return !at.IsZero(), "", err
		})
		if err != nil {
			return nil, 0, err
		}
		took = max(took, at.Sub(began).Seconds())
	}
	return ids, took, nil
}

// initRan is when a machine's init had its root file system, as its console says; the zero
// time if it has not.
func initRan(console string) (at time.Time, err error) {
	f, err := os.Open(console)
	if errors.Is(err, os.ErrNotExist) {
		return at, nil
	}
	if err != nil {
		return at, err
	}
	defer f.Close()
	var on time.Time
	for s := bufio.NewScanner(f); s.Scan(); {
		stamp, said, _ := strings.Cut(s.Text(), "] ")
		if when, ok := strings.CutPrefix(said, "power on, "); ok {
			if on, err = time.Parse(time.RFC3339Nano, when); err != nil {
				return at, err
			}
		}
		if said == "root file system is up" {
			since, err := time.ParseDuration(strings.TrimSpace(strings.TrimPrefix(stamp, "[")) + "s")
			return on.Add(since), err
		}
	}
	return at, nil
}

// terminate ends instances and returns the seconds until the host has nothing of them.
func (m machines) terminate(ctx context.Context, ids []string) (float64, error) {
	var pids []int
	for _, id := range ids {
		pid, err := m.d.InstancePID(id)
		if err != nil {
			return 0, err
		}
		pids = append(pids, pid)
	}
	began := time.Now()
	if _, err := m.cloud.EC2.TerminateInstances(ctx, &ec2.TerminateInstancesInput{InstanceIds: ids}); err != nil {
		return 0, err
	}
	for i, id := range ids {
		err := lab.Promptly(ctx, time.Minute, "nothing of "+id+" to be left", func(context.Context) (bool, string, error) {
			left, err := m.left(id, pids[i])
			return left == "" && err == nil, left, err
		})
		if err != nil {
			return 0, err
		}
	}
	return seconds(began), nil
}

// left is one thing that the host has of an instance.
func (m machines) left(id string, pid int) (string, error) {
	if err := syscall.Kill(pid, 0); err == nil {
		return fmt.Sprint("process ", pid), nil
	}
	for _, pattern := range []string{
		filepath.Join(m.d.State, "instances", id), filepath.Join("/run/netns", m.prefix+"-"+id),
		filepath.Join("/sys/fs/cgroup/ekster-"+m.prefix, id), filepath.Join("/sys/fs/cgroup/*/ekster-"+m.prefix, id),
	} {
		found, err := filepath.Glob(pattern)
		if err != nil {
			return "", err
		}
		if len(found) > 0 {
			return found[0], nil
		}
	}
	return "", nil
}
