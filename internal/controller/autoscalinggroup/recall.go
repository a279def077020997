package autoscalinggroup

import (
	"fmt"

	"ekster.dev/ekster/internal/resource"
)

// recalled are the members in service of which EC2 has said that it may take them back, in a
// group that is to have others before. A node group sees to its own.
func (r *round) recalled() (out []resource.GroupInstance) {
	if !r.group.Spec.CapacityRebalance || r.group.Nodegroup != "" || r.group.Deleting || r.group.Spec.Suspended("Launch") {
		return nil
	}
	for _, m := range r.live() {
		in, _ := r.tx.Instances.Get(m.Instance)
		request, ok := r.tx.SpotRequests.Get(in.Spec.SpotRequest)
		if ok && !request.Rebalance.IsZero() && m.Lifecycle == resource.MemberInService {
			out = append(out, m)
		}
	}
	// Above its maximum a group goes by a tenth.
	most := max(int(r.group.Spec.Max-r.group.Spec.Desired), (int(r.group.Spec.Max)+9)/10)
	return out[:min(len(out), most)]
}

// recall sends off the recalled members once as many others serve.
func (r *round) recall() error {
	gone := r.recalled()
	if len(gone) == 0 || r.group.Spec.Suspended("Terminate") || !r.rests() {
		return nil
	}
	for _, m := range gone {
		cause := fmt.Sprintf("At %s an instance was taken out of service in response to an EC2 instance rebalance recommendation.", stamp(r.now))
		if err := r.sendOff(m, cause); err != nil {
			return err
		}
	}
	return nil
}
