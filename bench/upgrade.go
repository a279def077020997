package main

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/eks"
	"github.com/aws/aws-sdk-go-v2/service/eks/types"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"ekster.dev/ekster/test/lab"
)

// upgradeTime is figure 10. Each turn creates a cluster and moves it one version up.
func (r *run) upgradeTime(ctx context.Context) error {
	return withDaemon(ctx, func(d *lab.Daemon, cloud *lab.Cloud) error {
		versions := d.Versions()
		if len(versions) < 2 {
			return fmt.Errorf("only %v is built, and an upgrade needs two versions (make payload)", versions)
		}
		at := min(slices.Index(versions, r.version), len(versions)-2)
		from, to := run{version: versions[at]}, versions[at+1]
		land, err := cloud.Landscape(ctx)
		if err != nil {
			return err
		}
		var creates, switches []float64
		for i := range r.runs + 1 {
			name := fmt.Sprint("bench-", i)
			created, err := from.createCluster(ctx, cloud, land, name)
			if err != nil {
				return err
			}
			switched, err := switchVersion(ctx, cloud, name, to)
			if err != nil {
				return err
			}
			if err := cloud.DeleteCluster(ctx, name); err != nil {
				return err
			}
			if i > 0 { // the first of each warms the page cache
				creates, switches = append(creates, created), append(switches, switched)
			}
		}
		r.report.ratio(line{Figure: "10", What: "UpdateClusterVersion to ACTIVE, namespaces listed", Unit: "s", Value: median(switches), Floor: median(creates), Samples: switches,
			Note: fmt.Sprintf("%s to %s; floor: CreateCluster, as figure 1", from.version, to)}, 2)
		return nil
	})
}

// switchVersion returns the seconds until the cluster's update has succeeded and it lists
// its namespaces.
func switchVersion(ctx context.Context, cloud *lab.Cloud, name, to string) (float64, error) {
	cl, err := cloud.Cluster(ctx, name)
	if err != nil {
		return 0, err
	}
	kube, err := cloud.Kube(cl)
	if err != nil {
		return 0, err
	}
	began := time.Now()
	out, err := cloud.EKS.UpdateClusterVersion(ctx, &eks.UpdateClusterVersionInput{Name: &name, Version: &to})
	if err != nil {
		return 0, err
	}
	err = lab.Promptly(ctx, lab.ClusterTimeout, "the update to "+to, func(ctx context.Context) (bool, string, error) {
		got, err := cloud.EKS.DescribeUpdate(ctx, &eks.DescribeUpdateInput{Name: &name, UpdateId: out.Update.Id})
		if err != nil {
			return false, "", err
		}
		if s := got.Update.Status; s == types.UpdateStatusFailed {
			return false, "", fmt.Errorf("it has failed: %s", *got.Update.Errors[0].ErrorMessage)
		}
		return got.Update.Status == types.UpdateStatusSuccessful, string(got.Update.Status), nil
	})
	if err != nil {
		return 0, err
	}
	_, err = kube.CoreV1().Namespaces().List(ctx, metav1.ListOptions{})
	return seconds(began), err
}
